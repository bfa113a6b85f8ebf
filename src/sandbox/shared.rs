//! What the handlers share: addresses, time, state, tokens, records and switches.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::fault::Faults;
use super::record::Records;
use super::registry::Registry;
use super::tokens::Tokens;
use crate::clock::Clock;

pub(super) struct Shared {
    /// `http://127.0.0.1:PORT/`
    pub(super) issuer: String,
    pub(super) settings: Settings,
    pub(super) tokens: Tokens,
    pub(super) records: Records,
    pub(super) faults: Faults,
    clock: Clock,
    registry: Mutex<Registry>,
    used: Mutex<UsedGrants>,
}

/// What a test may change while the sandbox runs.
pub(super) struct Settings {
    /// Seconds.
    pub(super) token_lifetime: AtomicU32,
    /// Seconds.
    pub(super) altinn_lifetime: AtomicU32,
    pub(super) altinn_quoted: AtomicBool,
    /// Seconds that the sandbox's clock is ahead of the one it was given.
    pub(super) clock_offset: AtomicI64,
    /// Seconds that `Date` is ahead of the sandbox's clock.
    pub(super) date_offset: AtomicI64,
}

/// The `jti`s of grants that could still be sent again.
#[derive(Default)]
struct UsedGrants {
    /// (client id, jti) → `exp`, seconds since 1970.
    entries: HashMap<(String, String), u64>,
    sweep_at: usize,
}

impl Shared {
    pub(super) fn new(address: SocketAddr, clock: Clock, settings: Settings, registry: Registry) -> Self {
        Self {
            issuer: format!("http://{address}/"),
            settings,
            tokens: Tokens::new(),
            records: Records::new(),
            faults: Faults::default(),
            clock,
            registry: Mutex::new(registry),
            used: Mutex::default(),
        }
    }

    /// The sandbox's own idea of the time.
    pub(super) fn now(&self) -> SystemTime {
        shifted(self.clock.wall(), self.settings.clock_offset.load(Ordering::Relaxed))
    }

    pub(super) fn date(&self) -> HeaderValue {
        let time = shifted(self.now(), self.settings.date_offset.load(Ordering::Relaxed));
        HeaderValue::from_str(&httpdate::fmt_http_date(time)).expect("an HTTP date is visible ASCII")
    }

    pub(super) fn registry<T>(&self, act: impl FnOnce(&mut Registry) -> T) -> T {
        act(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a grant until it has expired; false where it was used before.
    pub(super) fn use_grant(&self, client_id: &str, jti: &str, expires: u64, now: SystemTime) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.entries.len() >= used.sweep_at.max(1024) {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            used.entries.retain(|_, expires| *expires > now);
            used.sweep_at = used.entries.len() * 2;
        }
        used.entries.insert((client_id.to_owned(), jti.to_owned()), expires).is_none()
    }
}

fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let shifted = if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    // httpdate writes no year before 1970 or after 9999; a test has no use for them either.
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    shifted.unwrap_or(time).clamp(SystemTime::UNIX_EPOCH, latest)
}
