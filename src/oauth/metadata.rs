//! Where the token endpoint is, by the issuer's metadata (RFC 8414).
//!
//! Used where no `token_endpoint` is configured. The metadata is believed only if it names the
//! configured issuer, exactly, and an endpoint on the issuer's own host: whoever answers at the
//! well-known address cannot send our grants elsewhere.

use serde::Deserialize;

use crate::authority::Authority;
use crate::config::{HttpUrl, Scheme};
use crate::oauth::error::{AnswerFault, Service, TokenError, scrub};
use crate::oauth::transport::TokenHttp;

/// RFC 8414 §3.
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: Option<String>,
}

/// Looks the token endpoint of `issuer` up.
///
/// # Errors
///
/// When there is no metadata, or it is not to be believed.
pub async fn token_endpoint(http: &TokenHttp, issuer: &str) -> Result<HttpUrl, TokenError> {
    let service = Service::Metadata;
    let refuse = |status, fault| TokenError::Malformed { service, status, fault };
    let base = parse_url(issuer).ok_or(TokenError::IssuerUrl)?;

    let mut answer = http.get(service, &inserted(&base), None).await.result?;
    if answer.status == ::http::StatusCode::NOT_FOUND && !base.path.trim_end_matches('/').is_empty() {
        // Issuers with a path that follow OpenID Connect Discovery §4 append instead.
        answer = http.get(service, &appended(&base), None).await.result?;
    }
    let status = answer.status.as_u16();
    if status != 200 {
        return Err(refuse(status, AnswerFault::Status));
    }
    let document: Document =
        serde_json::from_slice(&answer.body).map_err(|_| refuse(status, AnswerFault::NotJson))?;
    if document.issuer != issuer {
        return Err(refuse(status, AnswerFault::Issuer { found: scrub(&document.issuer, &[]) }));
    }
    let endpoint = document.token_endpoint.as_deref().and_then(parse_url);
    endpoint.filter(|endpoint| same_host(&base, endpoint)).ok_or(refuse(status, AnswerFault::Endpoint))
}

/// `https`, or `http` on loopback; no userinfo, no fragment.
pub(in crate::oauth) fn parse_url(text: &str) -> Option<HttpUrl> {
    let (scheme, rest) = match text.split_once("://")? {
        ("https", rest) => (Scheme::Https, rest),
        ("http", rest) => (Scheme::Http, rest),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority: Authority = rest[..end].parse().ok()?;
    let path = match &rest[end..] {
        "" => "/",
        path => path,
    };
    let plain =
        path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\'));
    let allowed = scheme == Scheme::Https || authority.host().is_loopback();
    (plain && allowed).then(|| HttpUrl { scheme, authority, path: path.into() })
}

/// RFC 8414 §3.1: between the host and the issuer's path.
fn inserted(issuer: &HttpUrl) -> HttpUrl {
    let path = issuer.path.trim_end_matches('/');
    HttpUrl { path: format!("{WELL_KNOWN}{path}").into(), ..issuer.clone() }
}

fn appended(issuer: &HttpUrl) -> HttpUrl {
    let path = issuer.path.trim_end_matches('/');
    HttpUrl { path: format!("{path}{WELL_KNOWN}").into(), ..issuer.clone() }
}

/// The same host; over https, unless the issuer itself is on loopback and plain.
fn same_host(issuer: &HttpUrl, endpoint: &HttpUrl) -> bool {
    issuer.authority.host() == endpoint.authority.host()
        && (endpoint.scheme == Scheme::Https || issuer.scheme == Scheme::Http)
}

#[cfg(test)]
mod tests;
