//! A built-in Maskinporten for tests and demonstrations: the authorization server, the
//! self-service API, Altinn's exchange and an API that echoes, all on one loopback listener.
//!
//! It judges grants as strictly as Digdir's documentation reads, and it is an independent judge:
//! it shares no code with the client side of this program (no `oauth`, no `keys`). What it never
//! does: reach the network, write files unasked, or keep anything beyond its own life. Plain
//! HTTP, so it is for loopback alone.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::secret::Secret;

mod altinn;
mod certificate;
mod claims;
mod control;
mod credentials;
mod details;
mod echo;
mod fault;
mod grant;
mod record;
mod refusal;
mod registry;
mod reply;
mod seed;
mod selfservice;
mod server;
mod shared;
mod test_ca;
mod token_endpoint;
mod tokens;
mod visit;
mod wire;

#[cfg(test)]
mod tests;

pub use claims::Claims;
pub use control::{Control, NoClient};
pub use credentials::{Credentials, Written};
pub use fault::{Fault, Faults, Service};
pub use record::{ApiRequest, Counts, DeadToken, Death, KEPT, Outcome, TokenRequest};
pub use registry::{ClientSpec, Consent, KeyError, RegisteredKey, ScopeSpec, SystemUser};
pub use seed::{CONSUMER, CUSTOMER, ORGANISATION};
pub use test_ca::{CertificateSpec, TestCa};
pub use tokens::Kind;

/// How a sandbox is to be.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Judges lives and stamps; a manual one makes time a test's own.
    pub clock: Clock,
    /// The test client's RSA key (PKCS#8 or PKCS#1, PEM); `None` makes one, which takes some
    /// tens of milliseconds.
    pub key: Option<Secret<String>>,
    /// The organisation number of the test clients.
    pub organisation: String,
    /// Seconds that tokens live (`expires_in`), where the client has no life of its own for them.
    pub token_lifetime: u32,
    /// Seconds that Altinn's tokens live.
    pub altinn_lifetime: u32,
    /// Whether there are some more clients and scopes to look at.
    pub pretty: bool,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock: Clock::system(),
            key: None,
            organisation: ORGANISATION.to_owned(),
            token_lifetime: 119,
            altinn_lifetime: 1800,
            pretty: true,
        }
    }
}

/// A sandbox that runs. Dropping it closes its listener and connections.
pub struct Sandbox {
    address: SocketAddr,
    control: Control,
    credentials: Credentials,
    ca: TestCa,
    tracker: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Binds the listener and serves on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or the key that was given is no RSA key.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = reachable(listener.local_addr()?);
        let now = options.clock.wall();
        let key = match options.key {
            Some(pem) => credentials::ClientKey::read(&pem)?,
            None => tokio::task::spawn_blocking(credentials::ClientKey::generate).await??,
        };
        let ca = TestCa::new("Sandkassen", now).map_err(io::Error::other)?;
        let credentials = Credentials::new(&options.organisation, &key, &ca, now)?;
        let registered =
            RegisteredKey::from_public_key(&credentials.kid, &key.spki).map_err(io::Error::other)?;

        let mut registry = registry::Registry::default();
        registry.trust(ca.root().to_vec());
        seed::plant(&mut registry, &credentials, registered.registered_at(now), options.pretty, now);
        let settings = shared::Settings {
            token_lifetime: AtomicU32::new(options.token_lifetime),
            altinn_lifetime: AtomicU32::new(options.altinn_lifetime),
            altinn_quoted: AtomicBool::new(false),
            clock_offset: AtomicI64::new(0),
            date_offset: AtomicI64::new(0),
        };
        let shared = Arc::new(shared::Shared::new(address, options.clock, settings, registry));

        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let accepting = server::accept(listener, Arc::clone(&shared), stop.clone(), tracker.clone());
        tracker.spawn(accepting);
        tracker.close();
        Ok(Self { address, control: Control(shared), credentials, ca, tracker, stop: stop.drop_guard() })
    }

    /// Where it can be reached.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT/`, the `aud` of grants.
    pub fn issuer(&self) -> String {
        self.control.0.issuer.clone()
    }

    /// `http://127.0.0.1:PORT/token`.
    pub fn token_endpoint(&self) -> String {
        format!("{}token", self.control.0.issuer)
    }

    /// The base of the self-service API, without a slash at its end: `/clients`, `/scopes` and
    /// `/delegationsources` follow (also under `/api/v1` and `/external/api/v1`).
    pub fn api_url(&self) -> String {
        self.control.0.issuer.trim_end_matches('/').to_owned()
    }

    /// The base of Altinn's platform, without a slash at its end.
    pub fn altinn_url(&self) -> String {
        self.api_url()
    }

    /// The echo API, without a slash at its end.
    pub fn echo_url(&self) -> String {
        format!("{}echo", self.control.0.issuer)
    }

    /// The handle for tests: set up, make fail, look at.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What a client needs to sign in here.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The authority that issued the test client's certificate, to issue others.
    pub fn ca(&self) -> &TestCa {
        &self.ca
    }

    /// Writes `key.pem` (0600), `certificate.pem` and a `proxy.toml` that works with this sandbox
    /// into `directory`, which is made where it is not there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] where one of them is there and no earlier sandbox's.
    pub fn write_out(&self, directory: &Path) -> io::Result<Written> {
        self.credentials.write(directory, &self.control.0.issuer)
    }

    /// Closes the listener and all connections, and waits until its tasks have ended.
    pub async fn stop(self) {
        drop(self.stop);
        self.tracker.wait().await;
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("issuer", &self.control.0.issuer).finish_non_exhaustive()
    }
}

/// The address that clients use: one bound to all interfaces is reached by way of loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let host = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, bound.port())
}
