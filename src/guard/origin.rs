//! Requests that a web page made.
//!
//! Browsers mark them: `Origin` (RFC 6454) on everything but plain GETs within a site, and
//! `Sec-Fetch-Site` (W3C Fetch Metadata) on everything that goes to loopback or over TLS. A page
//! cannot forge or leave out either.

use http::HeaderValue;

use super::{Cors, Refusal};
use crate::authority::Authority;
use crate::config::Scheme;
use crate::message::{Fields, Name, text};

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
    #[inline(always)]
    pub(super) fn judge(
        &self,
        fields: &Fields,
        scheme: Scheme,
        authority: &Authority,
    ) -> Result<Option<Cors>, Refusal> {
        let named = Name::Origin.bit() | Name::SecFetchSite.bit();
        if fields.may_have_any(named) { self.judge_page(fields, scheme, authority) } else { Ok(None) }
    }

    /// As [`judge`](Self::judge), for what a browser has marked.
    #[inline(never)]
    fn judge_page(
        &self,
        fields: &Fields,
        scheme: Scheme,
        authority: &Authority,
    ) -> Result<Option<Cors>, Refusal> {
        let origin = fields.single(Name::Origin).map_err(|_| Refusal::RepeatedField("Origin"))?;
        let site = fields.single(Name::SecFetchSite).map_err(|_| Refusal::RepeatedField("Sec-Fetch-Site"))?;
        if let Some(origin) = origin {
            if self.allowed.iter().any(|allowed| allowed.as_bytes() == origin)
                && let Ok(origin) = HeaderValue::from_bytes(origin)
            {
                return Ok(Some(Cors::new(origin)));
            }
            if !is_own(origin, scheme, authority) {
                return Err(Refusal::origin(origin));
            }
        }
        match site {
            Some(site) if site != b"none" && site != b"same-origin" => Err(Refusal::site(site)),
            _ => Ok(None),
        }
    }
}

/// Whether `User-Agent` is a browser's and the marks that browsers otherwise set are missing.
pub(super) fn is_unmarked_browser(fields: &Fields) -> bool {
    !fields.has(Name::SecFetchSite)
        && fields.all(Name::UserAgent).any(|agent| {
            // `Mozilla/5.0 (Windows NT 10.0; …) PowerShell/7.4`: a script's, in spite of its start.
            agent.starts_with(b"Mozilla/") && memchr::memmem::find(agent, b"PowerShell/").is_none()
        })
}

fn is_own(origin: &[u8], scheme: Scheme, authority: &Authority) -> bool {
    let parse = || {
        let (origin_scheme, rest) = text(origin)?.split_once("://")?;
        let origin: Authority = rest.parse().ok()?;
        Some(origin_scheme == scheme.name() && origin.agrees_with(authority, scheme.default_port()))
    };
    parse().unwrap_or(false)
}
