//! One request to a protected resource: its head, and what its token turned out to be.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request};
use http_body::Body;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;

use super::record::{ApiRequest, DeadToken, Death};
use super::reply::Reply;
use super::shared::Shared;
use super::tokens::{Issued, Presented};

/// Bytes of a body that are kept for the record.
pub(super) const KEPT_BODY: usize = 4096;

/// The head of a request and the token in it, judged when it came in.
pub(super) struct Visit {
    pub(super) at: SystemTime,
    pub(super) method: Method,
    /// Path and query, byte for byte.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    bearer: Bearer,
}

enum Bearer {
    Live(Arc<Issued>),
    Expired,
    Revoked,
    Unknown,
    Missing,
    /// Several `Authorization` lines.
    Repeated,
}

/// What was read of a body.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) first: BytesMut,
    pub(super) length: u64,
    pub(super) complete: bool,
}

impl Visit {
    /// Judges the token, and counts it where it is dead, foreign or not there.
    pub(super) fn of<B>(request: &Request<B>, shared: &Shared) -> Self {
        let at = shared.now();
        let uri = request.uri();
        let mut headers = request.headers().clone();
        let bearer = Bearer::judge(&headers, shared, at);
        for (name, value) in headers.iter_mut() {
            if name == AUTHORIZATION {
                value.set_sensitive(true);
            }
        }
        Self {
            at,
            method: request.method().clone(),
            target: uri.path_and_query().map_or_else(|| uri.path().to_owned(), |target| target.to_string()),
            headers,
            bearer,
        }
    }

    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query as it stands, without its `?`.
    pub(super) fn raw_query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The first value of a query parameter, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.raw_query()?.split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| form_decoded(key) == name).map(|(_, value)| form_decoded(value))
    }

    /// The token, or the answer that a resource server gives without a good one (RFC 6750 §3).
    pub(super) fn token(&self) -> Result<&Arc<Issued>, Reply> {
        match &self.bearer {
            Bearer::Live(token) => Ok(token),
            Bearer::Missing => Err(Reply::token_missing()),
            Bearer::Repeated => Err(Reply::bad_request("more than one Authorization header")),
            Bearer::Expired => Err(Reply::token_invalid("the token has expired")),
            Bearer::Revoked => Err(Reply::token_invalid("the token has been revoked")),
            Bearer::Unknown => Err(Reply::token_invalid("the token was not issued here")),
        }
    }

    pub(super) fn record(&self, seen: &Seen) -> ApiRequest {
        let token = self.token().ok();
        ApiRequest {
            at: self.at,
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: Bytes::copy_from_slice(&seen.first),
            body_length: seen.length,
            body_complete: seen.complete,
            token: token.map(|token| token.claims.clone()),
            token_kind: token.map(|token| token.kind),
        }
    }
}

impl Bearer {
    fn judge(headers: &HeaderMap, shared: &Shared, now: SystemTime) -> Self {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let Some(line) = lines.next() else {
            shared.records.count(|counts| counts.missing_tokens += 1);
            return Self::Missing;
        };
        if lines.next().is_some() {
            return Self::Repeated;
        }
        let text = line.to_str().unwrap_or_default();
        let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let presented = token.map_or(Presented::Unknown, |(_, token)| shared.tokens.judge(token, now));
        let dead = |issued: Option<&Issued>, death| {
            let jti = issued.and_then(|token| token.claims.text("jti")).map(str::to_owned);
            shared.records.dead_token(DeadToken { at: now, jti, death });
        };
        match presented {
            Presented::Live(token) => Self::Live(token),
            Presented::Expired { claims, by } => {
                dead(claims.as_deref(), Death::Expired(by));
                Self::Expired
            }
            Presented::Revoked(token) => {
                dead(Some(&token), Death::Revoked);
                Self::Revoked
            }
            Presented::Unknown => {
                shared.records.count(|counts| counts.unknown_tokens += 1);
                Self::Unknown
            }
        }
    }
}

impl Seen {
    /// Reads a body to its end, handing each piece to `each`; memory is bounded.
    pub(super) async fn all<B>(body: B, mut each: impl FnMut(&[u8])) -> Self
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut body = body;
        let mut seen = Self::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return seen };
            let Ok(data) = frame.into_data() else { continue };
            seen.length += data.len() as u64;
            let room = KEPT_BODY - seen.first.len();
            seen.first.extend_from_slice(&data[..data.len().min(room)]);
            each(&data);
        }
        seen.complete = true;
        seen
    }
}

/// A name or value of `application/x-www-form-urlencoded`.
pub(super) fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
