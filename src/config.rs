//! The configuration, valid by construction.
//!
//! What users write ([`file`], [`properties`], [`nais`], the environment, flags) is merged by
//! figment and turned into these types once; whatever holds a [`Config`] need not ask again
//! whether a value is missing, misspelt or contradicts another. No type here prints a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::authority::{Authority, Host};
use crate::secret::Secret;

/// Everything that `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Listen,
    /// `None` where `admin = "off"`.
    pub admin: Option<Listen>,
    /// Worker threads that carry requests.
    pub threads: NonZeroUsize,
    pub clients: BTreeMap<String, Arc<Client>>,
    /// In the order of the file; no two match the same requests.
    pub routes: Vec<Arc<Route>>,
    pub forward: Forward,
    pub inbound: Inbound,
    pub upstream: UpstreamSettings,
    /// The folder that relative paths were resolved against (the first file's), where the local
    /// CA and other state lives beside the configuration.
    pub base_dir: PathBuf,
    /// Files whose change asks for a reload: the configuration itself and what it names (keys,
    /// certificates, password files).
    pub watched: Vec<PathBuf>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<String>,
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// A Unix domain socket, made with mode 0600.
    Unix(PathBuf),
}

/// One Maskinporten client: who asks for tokens, where, and with which key.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    pub name: String,
    pub client_id: String,
    pub environment: Option<Environment>,
    /// The issuer exactly as its metadata gives it; the grant's `aud`.
    pub issuer: String,
    /// `None`: taken from the issuer's metadata (RFC 8414).
    pub token_endpoint: Option<HttpUrl>,
    /// The Altinn platform for `exchange = "altinn"`.
    pub altinn: Option<HttpUrl>,
    pub key: KeySource,
}

/// A Maskinporten environment of Digdir's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    Test,
    Prod,
}

/// Where the signing key is and how it is opened.
#[derive(Debug, PartialEq, Eq)]
pub struct KeySource {
    pub material: KeyMaterial,
    /// A certificate (chain) in PEM or DER that stands beside a key file without one.
    pub certificate: Option<PathBuf>,
    pub alias: Option<String>,
    pub password: Option<SecretSource>,
    /// The key's own password, where it differs from the keystore's.
    pub key_password: Option<SecretSource>,
    pub algorithm: Algorithm,
    /// The `kid` under which the key is registered on the client; sent in place of `x5c`.
    pub kid: Option<String>,
}

/// The bytes of a keystore or key.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    File(PathBuf),
    /// `keystore.file=base64:…` of a properties file, or the JWK of an environment variable.
    Inline(Secret<Vec<u8>>),
}

/// A secret as it is configured; it is read when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Literal(Secret<String>),
    /// The name of an environment variable.
    Env(String),
    /// A file whose content, without a line ending at its end, is the secret.
    File(PathBuf),
    /// A command line for the shell, whose first line on stdout is the secret.
    Command(String),
}

/// The algorithms that Maskinporten accepts (RFC 7518 §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    #[default]
    Rs256,
    Rs384,
    Rs512,
}

/// Which requests go where, with which token.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    pub name: String,
    pub path: PathPrefix,
    /// `None`: every method. `GET` takes `HEAD` along.
    pub methods: Option<Vec<Method>>,
    pub host: Option<Host>,
    pub upstream: Upstream,
    pub client: Arc<Client>,
    pub scopes: Vec<String>,
    pub resource: Vec<String>,
    pub consumer_org: Option<ClaimSource>,
    pub pid: Option<ClaimSource>,
    pub systemuser_org: Option<ClaimSource>,
    pub systemuser_external_ref: Option<String>,
    /// Raw `authorization_details` (RFC 9396), in place of `systemuser_org`.
    pub authorization_details: Option<serde_json::Value>,
    pub exchange: Option<Exchange>,
    pub access: Access,
}

/// A path prefix on whole segments: `/`, or `/a/b` without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Box<str>);

/// The base of an upstream: `scheme://authority/path`, without query, userinfo or fragment.
///
/// Plain `http` is a loopback upstream by construction: a token is not sent in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    pub scheme: Scheme,
    /// As it was configured, with the port left out where it is the scheme's own.
    pub authority: Authority,
    pub path: PathPrefix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

/// An `https` URL, or an `http` URL of a loopback host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    pub scheme: Scheme,
    pub authority: Authority,
    /// Path and query, beginning with `/`.
    pub path: Box<str>,
}

/// Where the value of a claim comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimSource {
    Fixed(String),
    /// A request header, which is not forwarded; `allow` bounds its values.
    Header {
        name: HeaderName,
        allow: Option<Vec<String>>,
    },
}

/// A service that the Maskinporten token is swapped at before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    Altinn,
}

/// What a route lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// GET, HEAD and OPTIONS alone.
    ReadOnly,
    ReadWrite,
}

/// `[forward]`: the listener as an HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub intercept: bool,
    pub other_hosts: OtherHosts,
    pub browsers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherHosts {
    Tunnel,
    Deny,
}

/// `[inbound]`: who may use the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    pub password: Option<SecretSource>,
    pub tls: Option<InboundTls>,
    /// Hosts beyond loopback ones and `listen`.
    pub allowed_hosts: Vec<Host>,
    /// Web origins in their serialised form (`https://app.example.no`).
    pub allowed_origins: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundTls {
    pub cert: PathBuf,
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

/// An outbound proxy: its address, and the credentials that its URL held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProxy {
    pub authority: Authority,
    /// `user:password`, percent-decoded.
    pub credentials: Option<Secret<String>>,
}

impl Listen {
    /// Loopback addresses and sockets can be left without a password.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Environment {
    pub const ALL: [Self; 2] = [Self::Test, Self::Prod];

    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Prod => "prod",
        }
    }

    /// With the slash at its end, as the metadata gives it.
    pub fn issuer(self) -> &'static str {
        match self {
            Self::Test => "https://test.maskinporten.no/",
            Self::Prod => "https://maskinporten.no/",
        }
    }

    pub fn token_endpoint(self) -> &'static str {
        match self {
            Self::Test => "https://test.maskinporten.no/token",
            Self::Prod => "https://maskinporten.no/token",
        }
    }

    pub fn self_service(self) -> &'static str {
        match self {
            Self::Test => "https://api.test.samarbeid.digdir.no",
            Self::Prod => "https://api.samarbeid.digdir.no",
        }
    }

    pub fn altinn(self) -> &'static str {
        match self {
            Self::Test => "https://platform.tt02.altinn.no",
            Self::Prod => "https://platform.altinn.no",
        }
    }
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl PathPrefix {
    /// `text` begins with `/` and holds no query, fragment, control or non-ASCII character, and
    /// no dot segment; a slash at the end is dropped.
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'));
        let dots = text.split('/').any(|segment| matches!(segment, "." | ".."));
        if !text.starts_with('/') || !plain || dots {
            return None;
        }
        let trimmed = text.trim_end_matches('/');
        Some(Self(if trimmed.is_empty() { "/" } else { trimmed }.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What of `path` (no query) comes after the prefix: empty, or beginning with `/`.
    /// `None` where the prefix does not match on a whole segment.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        if &*self.0 == "/" {
            return path.starts_with('/').then_some(path);
        }
        let rest = path.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Upstream {
    pub fn port(&self) -> u16 {
        self.authority.port_or(self.scheme.default_port())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.as_str() == "/" { "" } else { self.path.as_str() };
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority)
    }
}

impl HttpUrl {
    pub fn port(&self) -> u16 {
        self.authority.port_or(self.scheme.default_port())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority, self.path)
    }
}

impl Route {
    /// Whether the token is the same for every request, so that it can be fetched ahead.
    pub fn has_fixed_claims(&self) -> bool {
        ![&self.consumer_org, &self.pid, &self.systemuser_org]
            .into_iter()
            .any(|claim| matches!(claim, Some(ClaimSource::Header { .. })))
    }

    /// The request headers that feed claims and are not forwarded.
    pub fn claim_headers(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.consumer_org, &self.pid, &self.systemuser_org].into_iter().filter_map(|claim| match claim {
            Some(ClaimSource::Header { name, .. }) => Some(name),
            _ => None,
        })
    }
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
