//! What the guard says no to, and how it says so.

use super::TargetError;
use crate::authority::Authority;
use crate::http::problem::{Problem, ProblemKind};

/// Foreign text is repeated in a message up to this many characters.
const MAX_QUOTED: usize = 120;

/// Why a request is not served. The text says what to set where something can be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("TRACE is not served, for any host")]
    Trace,
    #[error("CONNECT is not served here")]
    Connect,
    #[error("{0}")]
    Malformed(TargetError),
    #[error(
        "the request is for the host \"{host}\", which is no loopback name, not the address this listener \
         has, and not in [inbound] allowed_hosts; add it there if clients are to use that name"
    )]
    Host { host: String },
    #[error("the request is for {named}, inside a tunnel to {tunnel}")]
    Misdirected { named: String, tunnel: String },
    #[error("the request has several {0} fields")]
    RepeatedField(&'static str),
    #[error(
        "a web page of the origin \"{origin}\" made the request; add it to [inbound] allowed_origins if its \
         pages may act as you"
    )]
    Origin { origin: String },
    #[error(
        "a web page made the request (Sec-Fetch-Site: {site}); open the address by itself, or add the \
         page's origin to [inbound] allowed_origins if its pages may act as you"
    )]
    Site { site: String },
    #[error(
        "the request looks like a browser's, and any page that is open in it could have made it; set \
         [forward] browsers = true to let browsers use routed hosts"
    )]
    Browser,
    #[error("send the [inbound] password as Proxy-Authorization: Basic (with any user) or Bearer")]
    ProxyPassword,
    #[error("send the [inbound] password as Authorization: Basic (with any user)")]
    AdminPassword,
    #[error(
        "other machines can reach the admin listener, and no [inbound] password is set that could let \
         somebody in; set one, or bind `admin` to 127.0.0.1"
    )]
    AdminClosed,
}

impl Refusal {
    #[cold]
    #[inline(never)]
    pub(super) fn host(authority: &Authority) -> Self {
        Self::Host { host: authority.host().to_string() }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn origin(origin: &[u8]) -> Self {
        Self::Origin { origin: quoted(origin) }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn site(site: &[u8]) -> Self {
        Self::Site { site: quoted(site) }
    }

    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::Trace => ProblemKind::Trace,
            Self::Connect => ProblemKind::MethodNotAllowed,
            Self::Malformed(_) => ProblemKind::MalformedRequest,
            Self::Host { .. } => ProblemKind::HostNotAllowed,
            Self::Misdirected { .. } => ProblemKind::Misdirected,
            Self::RepeatedField(_) | Self::Origin { .. } | Self::Site { .. } => ProblemKind::OriginNotAllowed,
            Self::Browser => ProblemKind::BrowserNotAllowed,
            Self::ProxyPassword => ProblemKind::ProxyPassword,
            Self::AdminPassword | Self::AdminClosed => ProblemKind::AdminPassword,
        }
    }
}

impl From<TargetError> for Refusal {
    #[cold]
    #[inline(never)]
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::NumericHost(host) => Self::Host { host: host.chars().take(MAX_QUOTED).collect() },
            other => Self::Malformed(other),
        }
    }
}

impl From<Refusal> for Problem {
    #[cold]
    #[inline(never)]
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.kind(), refusal.to_string());
        match refusal {
            // A 405 must name what is allowed (RFC 9110 §15.5.6), and that depends on the path.
            Refusal::Trace | Refusal::Connect => problem.with_allow(Vec::new()),
            _ => problem,
        }
    }
}

fn quoted(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(MAX_QUOTED).collect()
}
