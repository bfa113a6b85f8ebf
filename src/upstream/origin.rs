//! [`Origin`]: a scheme and an authority that requests are sent to, with all that is derived from
//! them worked out once.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use rustls_pki_types::ServerName;

use crate::authority::{Authority, Host};
use crate::config::Scheme;

/// Judges an address after the name was resolved; `false`: no connection to it is made.
pub type AddressPolicy = Arc<dyn Fn(IpAddr, u16) -> bool + Send + Sync>;

/// Where a request goes. Cheap to clone.
///
/// The DNS name, the TLS server name, the certificate check, `Host` and `:authority` all come
/// from the one [`Authority`] that it is made of.
#[derive(Clone)]
pub struct Origin(Arc<Parts>);

struct Parts {
    scheme: Scheme,
    authority: Authority,
    host_field: HeaderValue,
    /// The same as a field line of HTTP/1.1, its end included.
    host_line: String,
    server_name: ServerName<'static>,
    /// Judges the addresses of a host that a client has named. Such connections are not for
    /// configured upstreams, nor the reverse.
    policy: Option<AddressPolicy>,
    /// For the pool, which looks origins up with every request. Keyed, since clients name hosts.
    hash: u64,
}

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The authority cannot be written in a URI or as a TLS server name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be used as an upstream's name")]
pub struct UnusableName(pub String);

impl Origin {
    /// An upstream that the user has configured.
    ///
    /// # Errors
    ///
    /// The name does not do for TLS or in a URI, which no parsed name has been seen to do.
    pub fn new(scheme: Scheme, authority: &Authority) -> Result<Self, UnusableName> {
        Self::build(scheme, authority, None)
    }

    /// A host that a client has named: `policy` judges each address that it resolves to.
    pub fn guarded(
        scheme: Scheme,
        authority: &Authority,
        policy: AddressPolicy,
    ) -> Result<Self, UnusableName> {
        Self::build(scheme, authority, Some(policy))
    }

    fn build(
        scheme: Scheme,
        authority: &Authority,
        policy: Option<AddressPolicy>,
    ) -> Result<Self, UnusableName> {
        let authority = authority.without_port(scheme.default_port());
        let text = authority.to_string();
        let unusable = || UnusableName(text.clone());
        let server_name = match authority.host() {
            // The dot of a fully qualified name is no part of the name in a certificate.
            Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()),
            Host::V4(address) => Ok(ServerName::from(IpAddr::V4(*address))),
            Host::V6(address) => Ok(ServerName::from(IpAddr::V6(*address))),
        };
        Ok(Self(Arc::new(Parts {
            hash: HASHER.hash_one((scheme, &authority, policy.is_some())),
            scheme,
            host_line: format!("host: {text}\r\n"),
            host_field: HeaderValue::from_str(&text).map_err(|_| unusable())?,
            server_name: server_name.map_err(|_| unusable())?,
            authority,
            policy,
        })))
    }

    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Without the port where it is the scheme's own.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub fn port(&self) -> u16 {
        self.0.authority.port_or(self.0.scheme.default_port())
    }

    pub(super) fn hash(&self) -> u64 {
        self.0.hash
    }

    pub(super) fn allows(&self, address: IpAddr) -> bool {
        self.0.policy.as_ref().is_none_or(|policy| policy(address, self.port()))
    }

    pub(super) fn host_field(&self) -> &HeaderValue {
        &self.0.host_field
    }

    pub(super) fn host_line(&self) -> &str {
        &self.0.host_line
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.0.server_name.clone()
    }
}

/// Whether connections to one can serve the other.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || self.0.hash == other.0.hash
                && self.0.scheme == other.0.scheme
                && self.0.authority == other.0.authority
                && self.0.policy.is_some() == other.0.policy.is_some()
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme.name(), self.0.authority)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}
