//! The tables `[forward]`, `[inbound]` and `[upstream]`.

use std::path::PathBuf;
use std::time::Duration;

use super::{HttpProxy, SecretSource};
use crate::authority::Host;

/// `[forward]`: the listener as an HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// TLS of routed hosts is terminated with a leaf of the local CA.
    pub intercept: bool,
    pub other_hosts: OtherHosts,
    /// Whether a browser may use routed hosts in absolute form, where it sends no sign of the page
    /// that asked.
    pub browsers: bool,
}

/// What becomes of hosts that no route names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherHosts {
    /// Passed on untouched, without a token.
    Tunnel,
    /// Refused.
    Deny,
}

impl OtherHosts {
    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Deny => "deny",
        }
    }
}

/// `[inbound]`: who may use the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Asked for as `Proxy-Authorization`, and as `Authorization` on the admin listener.
    pub password: Option<SecretSource>,
    pub tls: Option<InboundTls>,
    /// Hosts beyond loopback ones and `listen`.
    pub allowed_hosts: Vec<Host>,
    /// Web origins in their serialised form (`https://app.example.no`).
    pub allowed_origins: Vec<String>,
}

/// TLS on the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundTls {
    /// The certificate and its chain, PEM.
    pub cert: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// Clients must present a certificate of this CA.
    pub client_ca: Option<PathBuf>,
}

/// `[upstream]`: how connections to upstreams and token endpoints are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    pub connect_timeout: Duration,
    /// To the response's head.
    pub response_timeout: Duration,
    /// Certificates trusted beside the platform's own.
    pub ca_file: Option<PathBuf>,
    /// `None`: taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub proxy: Option<HttpProxy>,
}

impl Default for Forward {
    fn default() -> Self {
        Self { intercept: false, other_hosts: OtherHosts::Tunnel, browsers: false }
    }
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            ca_file: None,
            proxy: None,
        }
    }
}
