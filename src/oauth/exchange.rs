//! Altinn's exchange: a Maskinporten token in, an Altinn token out.
//!
//! `GET {platform}/authentication/api/v1/exchange/maskinporten`
//! (<https://docs.altinn.studio/api/authentication/>). The body is the token, bare or as a JSON
//! string; its life stands in its own `exp`.

use crate::clock::Clock;
use crate::config::HttpUrl;
use crate::oauth::error::{AnswerFault, Service, TokenError, scrub};
use crate::oauth::jwt;
use crate::oauth::token_endpoint::AccessToken;
use crate::oauth::transport::TokenHttp;

const PATH: &str = "/authentication/api/v1/exchange/maskinporten";

/// Swaps `token` at the Altinn platform `platform`. `pid` is kept out of what the errors quote.
///
/// # Errors
///
/// All of them tell Altinn ([`Service::Altinn`], [`TokenError::ExchangeRefused`]) from
/// Maskinporten.
pub(in crate::oauth) async fn altinn(
    http: &TokenHttp,
    platform: &HttpUrl,
    token: &AccessToken,
    pid: Option<&str>,
    clock: &Clock,
) -> Result<AccessToken, TokenError> {
    let url =
        HttpUrl { path: [platform.path.trim_end_matches('/'), PATH].concat().into(), ..platform.clone() };
    let (wall, monotonic) = (clock.wall(), clock.monotonic());
    let answer = http.get(Service::Altinn, &url, Some(token.to_header())).await.result?;
    let status = answer.status.as_u16();
    let malformed = |fault| TokenError::Malformed { service: Service::Altinn, status, fault };

    if answer.status.is_client_error() {
        let text = String::from_utf8_lossy(&answer.body);
        let detail = scrub(&text, &[token.expose(), pid.unwrap_or_default()]);
        return Err(TokenError::ExchangeRefused { status, detail });
    }
    if status != 200 {
        return Err(malformed(AnswerFault::Status));
    }
    let body = answer.body.trim_ascii();
    if body.is_empty() {
        return Err(malformed(AnswerFault::Empty));
    }
    let text = zeroize::Zeroizing::new(match serde_json::from_slice::<String>(body) {
        Ok(quoted) => quoted,
        Err(_) => str::from_utf8(body).map_err(|_| malformed(AnswerFault::TokenCharacters))?.to_owned(),
    });
    // A login page is 200 and text as well. The Altinn token's end is known from its `exp` alone,
    // so what is no JWT cannot be used.
    if jwt::claims(text.trim()).is_none() {
        return Err(malformed(AnswerFault::NoToken));
    }
    AccessToken::new(text.trim(), None, answer.date, wall, monotonic).map_err(malformed)
}

#[cfg(test)]
mod tests;
