//! [`Leaves`]: server configurations for intercepted hosts, made when they are first needed.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

use crate::authority::Host;
use crate::clock::Clock;

use super::certificate::Leaf;
use super::{Ca, CaError, undotted};

/// A leaf with less than this left to live is made anew, so that connections opened with it do
/// not outlive it.
const RENEWAL: Duration = Duration::days(1);

/// The protocols offered inside an intercepted tunnel, best first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A bounded store of leaves, shared by all worker threads. Each leaf has a key of its own, which
/// is never written; the least recently used goes when there are too many.
pub struct Leaves {
    ca: Arc<Ca>,
    capacity: NonZeroUsize,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_host: HashMap<Host, Entry>,
    /// Counts uses, to order entries by the last of theirs.
    uses: u64,
}

struct Entry {
    config: Arc<ServerConfig>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    last_use: u64,
}

impl Leaves {
    pub fn new(ca: Arc<Ca>, capacity: NonZeroUsize, clock: Clock) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { ca, capacity, clock, provider, held: Mutex::default() }
    }

    pub fn ca(&self) -> &Arc<Ca> {
        &self.ca
    }

    /// The configuration for a TLS server that stands in for `host`, offering `h2` and
    /// `http/1.1`. The same leaf is shown whatever server name the client asks for: the host that
    /// it connected to decides.
    ///
    /// # Errors
    ///
    /// [`CaError::NotCovered`] for a host outside the constraints; [`CaError::Expired`] and
    /// [`CaError::NotYetValid`] where the CA's own life is over or has not begun.
    pub fn config_for(&self, host: &Host) -> Result<Arc<ServerConfig>, CaError> {
        let host = undotted(host);
        let now = self.clock.wall();
        // Held while a leaf is made, a fraction of a millisecond: a burst of connections to a new
        // host makes one leaf.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = held.touch(&host, now) {
            return Ok(config);
        }
        let entry = self.make(&host, now)?;
        Ok(held.insert(host, entry, self.capacity))
    }

    fn make(&self, host: &Host, now: SystemTime) -> Result<Entry, CaError> {
        let leaf = Leaf::issue(&self.ca, host, now)?;
        let chain = vec![leaf.certificate.into(), self.ca.intermediate.clone()];
        let key = PrivatePkcs8KeyDer::from(leaf.key.expose().as_slice()).clone_key();
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key.into()))
            .map_err(CaError::Tls)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Entry {
            config: Arc::new(config),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            last_use: 0,
        })
    }
}

impl Held {
    fn touch(&mut self, host: &Host, now: SystemTime) -> Option<Arc<ServerConfig>> {
        let now = OffsetDateTime::from(now);
        self.uses += 1;
        let entry = self.by_host.get_mut(host)?;
        if now < entry.not_before || now + RENEWAL >= entry.not_after {
            return None;
        }
        entry.last_use = self.uses;
        Some(entry.config.clone())
    }

    fn insert(&mut self, host: Host, mut entry: Entry, capacity: NonZeroUsize) -> Arc<ServerConfig> {
        if !self.by_host.contains_key(&host) && self.by_host.len() >= capacity.get() {
            let oldest =
                self.by_host.iter().min_by_key(|(_, entry)| entry.last_use).map(|(host, _)| host.clone());
            if let Some(oldest) = oldest {
                self.by_host.remove(&oldest);
            }
        }
        entry.last_use = self.uses;
        let config = entry.config.clone();
        self.by_host.insert(host, entry);
        config
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves")
            .field("ca", &self.ca)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
