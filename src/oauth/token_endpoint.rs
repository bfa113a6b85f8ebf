//! The token endpoint: one grant in, one token or one typed error out (RFC 6749 §5, RFC 7523
//! §2.1; Digdir's `maskinporten_protocol_token`).
//!
//! It sends each grant once. Whether another attempt is worth making is decided above, where a
//! fresh grant can be signed.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::config::HttpUrl;
use crate::oauth::assertion::Assertion;
use crate::oauth::error::{AnswerFault, MaskinportenError, Service, TokenError, scrub};
use crate::oauth::life::{self, Life};
use crate::oauth::transport::{Answer, TokenHttp};
use crate::oauth::{jwt, mp};
use crate::secret::Secret;

/// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer`, encoded as a form asks.
const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// A bearer token that was alive when it came (RFC 6750).
#[derive(Clone)]
pub struct AccessToken {
    value: Secret<String>,
    life: Life,
    scope: Option<String>,
}

/// An answer, and what its `Date` says of the two clocks.
pub(in crate::oauth) struct TokenAnswer {
    pub(in crate::oauth) result: Result<AccessToken, TokenError>,
    pub(in crate::oauth) sighting: Option<Sighting>,
}

/// One comparison of the server's clock with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) struct Sighting {
    /// The server's `Date`.
    pub(in crate::oauth) server: SystemTime,
    /// Our wall clock in the middle of the exchange.
    pub(in crate::oauth) local: SystemTime,
}

/// Sends `assertion` to `endpoint`, once. `pid` is kept out of what the errors quote.
pub(in crate::oauth) async fn request(
    http: &TokenHttp,
    endpoint: &HttpUrl,
    assertion: &Assertion,
    pid: Option<&str>,
    clock: &Clock,
) -> TokenAnswer {
    // A token's life is counted from before it was asked for, so that it never looks longer.
    let (wall, monotonic) = (clock.wall(), clock.monotonic());
    // The grant's characters (base64url and dots) stand for themselves in a form.
    let form = [FORM, assertion.expose()].concat();
    let exchanged = http.post_form(Service::TokenEndpoint, endpoint, form).await;

    let halfway = clock.monotonic().saturating_duration_since(monotonic) / 2;
    let sighting = exchanged.date.map(|server| Sighting { server, local: wall + halfway });
    let secrets = [assertion.expose(), pid.unwrap_or_default()];
    let result = exchanged.result.and_then(|answer| read(&answer, wall, monotonic, &secrets));
    TokenAnswer { result, sighting }
}

/// Asks `endpoint` for nothing, to see its clock. `None` where the answer has no `Date`.
pub(in crate::oauth) async fn sight(
    http: &TokenHttp,
    endpoint: &HttpUrl,
    clock: &Clock,
) -> Result<Option<Sighting>, TokenError> {
    let (wall, monotonic) = (clock.wall(), clock.monotonic());
    let exchanged = http.get(Service::TokenEndpoint, endpoint, None).await;
    let halfway = clock.monotonic().saturating_duration_since(monotonic) / 2;
    match (exchanged.date, exchanged.result) {
        (Some(server), _) => Ok(Some(Sighting { server, local: wall + halfway })),
        (None, result) => result.map(|_| None),
    }
}

fn read(
    answer: &Answer,
    wall: SystemTime,
    monotonic: Instant,
    secrets: &[&str],
) -> Result<AccessToken, TokenError> {
    let status = answer.status.as_u16();
    let malformed = |fault| TokenError::Malformed { service: Service::TokenEndpoint, status, fault };
    if answer.body.is_empty() {
        return Err(malformed(AnswerFault::Empty));
    }
    let members: Map<String, Value> =
        serde_json::from_slice(&answer.body).map_err(|_| malformed(AnswerFault::NotJson))?;
    if answer.status.is_client_error() {
        return Err(refusal(&members, status, secrets).map_or_else(
            || malformed(AnswerFault::Status),
            |refusal| TokenError::Refused(Box::new(refusal)),
        ));
    }
    if status != 200 {
        return Err(malformed(AnswerFault::Status));
    }

    let Some(value) = members.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty())
    else {
        return Err(malformed(AnswerFault::NoToken));
    };
    let token_type = members.get("token_type");
    if !token_type.is_none_or(|kind| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))) {
        return Err(malformed(AnswerFault::TokenType));
    }
    let scope = members.get("scope").and_then(Value::as_str).map(str::to_owned);
    let token = AccessToken::new(value, members.get("expires_in"), answer.date, wall, monotonic);
    token.map(|token| AccessToken { scope, ..token }).map_err(malformed)
}

fn refusal(members: &Map<String, Value>, status: u16, secrets: &[&str]) -> Option<MaskinportenError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(|text| scrub(text, secrets));
    let error = text("error")?;
    let error_description = text("error_description");
    let error_uri = text("error_uri");
    // Some answers name the code in the address of its explanation alone.
    let entry = [&error_description, &error_uri].into_iter().flatten().find_map(|text| mp::lookup(text));
    Some(MaskinportenError { status, error, error_description, error_uri, entry })
}

impl AccessToken {
    /// Checks the characters of `value` (RFC 6750 §2.1: it goes into a header) and works out how
    /// long it lives, from `wall` and `monotonic` on. `server_time` is the answer's `Date`.
    pub(in crate::oauth) fn new(
        value: &str,
        expires_in: Option<&Value>,
        server_time: Option<SystemTime>,
        wall: SystemTime,
        monotonic: Instant,
    ) -> Result<Self, AnswerFault> {
        let bearer = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if value.is_empty() {
            return Err(AnswerFault::NoToken);
        }
        if !value.bytes().all(bearer) {
            return Err(AnswerFault::TokenCharacters);
        }
        let length = life::length(expires_in, jwt::expiry(value), server_time, wall)?;
        Ok(Self { value: Secret::from(value), life: Life::new(wall, monotonic, length), scope: None })
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.value.expose()
    }

    /// The scopes that were granted, separated by spaces, where the answer names them.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// How long it lives, counted from before it was asked for.
    pub fn expires_in(&self) -> Duration {
        self.life.length()
    }

    pub(in crate::oauth) fn life(&self) -> Life {
        self.life
    }

    /// `Bearer …`, marked sensitive so that no `Debug` shows it.
    pub fn to_header(&self) -> HeaderValue {
        let text = zeroize::Zeroizing::new(["Bearer ", self.expose()].concat());
        let mut header = HeaderValue::from_str(&text).expect("a bearer token is visible ASCII");
        header.set_sensitive(true);
        header
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("value", &self.value)
            .field("life", &self.life)
            .field("scope", &self.scope)
            .finish()
    }
}

#[cfg(test)]
mod tests;
