//! Requests that a web page made.
//!
//! Browsers mark them: `Origin` (RFC 6454) on everything but plain GETs within a site, and
//! `Sec-Fetch-Site` (W3C Fetch Metadata) on everything that goes to loopback or over TLS. A page
//! cannot forge or leave out either.

use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN, USER_AGENT};

use super::{Cors, Refusal};
use crate::authority::Authority;
use crate::config::Scheme;
use crate::http::single;

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The web origins whose pages may use the listener.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    pub(super) fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    /// Refuses what a page of a foreign origin made; `scheme` and `authority` are the request's
    /// own origin. A [`Cors`] where an allowed origin asks.
    pub(super) fn judge(
        &self,
        headers: &HeaderMap,
        scheme: Scheme,
        authority: &Authority,
    ) -> Result<Option<Cors>, Refusal> {
        let origin = single(headers, &ORIGIN).map_err(|_| Refusal::RepeatedField("Origin"))?;
        let site = single(headers, &SEC_FETCH_SITE).map_err(|_| Refusal::RepeatedField("Sec-Fetch-Site"))?;
        if let Some(origin) = origin {
            if self.allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
                return Ok(Some(Cors::new(origin.clone())));
            }
            if !is_own(origin, scheme, authority) {
                return Err(Refusal::origin(origin));
            }
        }
        match site {
            Some(site) if site != "none" && site != "same-origin" => Err(Refusal::site(site)),
            _ => Ok(None),
        }
    }
}

/// Whether `User-Agent` is a browser's and the marks that browsers otherwise set are missing.
pub(super) fn is_unmarked_browser(headers: &HeaderMap) -> bool {
    !headers.contains_key(SEC_FETCH_SITE)
        && headers.get_all(USER_AGENT).iter().any(|agent| {
            let agent = agent.as_bytes();
            // `Mozilla/5.0 (Windows NT 10.0; …) PowerShell/7.4`: a script's, in spite of its start.
            agent.starts_with(b"Mozilla/") && memchr::memmem::find(agent, b"PowerShell/").is_none()
        })
}

fn is_own(origin: &HeaderValue, scheme: Scheme, authority: &Authority) -> bool {
    let parse = || {
        let (origin_scheme, rest) = origin.to_str().ok()?.split_once("://")?;
        let origin: Authority = rest.parse().ok()?;
        Some(origin_scheme == scheme.name() && origin.agrees_with(authority, scheme.default_port()))
    };
    parse().unwrap_or(false)
}
