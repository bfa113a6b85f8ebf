//! One identity's token: held, handed out while it lives, fetched when it is needed.
//!
//! Handing out takes no lock and allocates nothing. A fetch is a task of its own on the runtime
//! that the source was given, so a request that goes away does not end it for the others; there
//! is one at a time. Its error reaches those who waited for it; later comers start another, but
//! during the pause that follows a failure they are told its reason at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::oauth::error::{Class, TokenError};
use crate::oauth::fetch::Fetch;
use crate::oauth::identity::Identity;

mod damper;
mod flight;
mod keeper;
mod live;
mod status;

pub use status::{TokenState, TokenStatus};

use damper::Damper;
use flight::{Boarding, Wanted, landing_of};
use live::Live;

/// What goes into a request: the header, and the number by which to report that an API refused it.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// `Bearer …`, made once and marked sensitive; cloning counts a reference.
    pub header: HeaderValue,
    /// Tells this token from those before and after it in the same source.
    pub serial: u64,
}

/// Why there is no token now, and when to ask again.
#[derive(Clone, Debug)]
pub struct Failure {
    pub error: Arc<TokenError>,
    /// What is left of the pause before the next attempt.
    pub retry_after: Duration,
}

/// Holds one identity's token and keeps it fresh.
pub struct TokenSource {
    identity: Identity,
    fetch: Box<dyn Fetch>,
    /// Where fetches run; requests may come from other runtimes.
    runtime: Handle,
    clock: Clock,
    live: ArcSwapOption<Live>,
    /// Whether the token is refreshed although nobody asks for it.
    kept: AtomicBool,
    /// Milliseconds since `born` at which the token was last asked for.
    last_used: AtomicU64,
    born: Instant,
    wake: Arc<Notify>,
    /// Everything but handing out a live token. Never held across an await.
    cold: Mutex<Cold>,
}

#[derive(Default)]
struct Cold {
    serial: u64,
    flight: Option<watch::Receiver<Option<Landing>>>,
    failures: u32,
    /// The failure since the last success, and until when the pause after it lasts.
    last_failure: Option<(Arc<TokenError>, Instant)>,
    damper: Damper,
    /// The API refused the last token: the next is to be had from scratch.
    anew: bool,
}

/// What those who wait for a fetch are told.
type Landing = Result<Authorization, Failure>;

impl TokenSource {
    /// A source that holds no token yet and asks for none until somebody does.
    pub fn new(identity: Identity, fetch: Box<dyn Fetch>, runtime: Handle, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            identity,
            fetch,
            runtime,
            born: clock.monotonic(),
            clock,
            live: ArcSwapOption::empty(),
            kept: AtomicBool::new(false),
            last_used: AtomicU64::new(0),
            wake: Arc::default(),
            cold: Mutex::default(),
        })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The token, where one is held that lives by both clocks with a margin. Lock-free.
    ///
    /// Where nobody else sees to it and the time has come, this begins a refresh: the token of an
    /// identity that came with a request is refreshed if it is used.
    #[inline(always)]
    pub fn current(self: &Arc<Self>) -> Option<Authorization> {
        let held = self.live.load();
        let live = held.as_ref()?;
        if !live.is_usable(&self.clock) {
            return None;
        }
        if !self.kept.load(Ordering::Relaxed) {
            self.used(live);
        }
        Some(live.authorization.clone())
    }

    #[inline(never)]
    fn used(self: &Arc<Self>, live: &Live) {
        self.touch();
        let is_due = !live.life.is_within(live.refresh_after, &self.clock);
        if is_due && !live.refresh_begun.swap(true, Ordering::Relaxed) {
            self.board(Wanted::NotDue);
        }
    }

    /// The token; where none is held, that of the fetch under way or of a new one.
    ///
    /// May be called on any runtime. Dropping the future leaves the fetch to the others.
    ///
    /// # Errors
    ///
    /// When the fetch that was waited for failed, or an earlier one did and the pause after it is
    /// not over.
    pub async fn authorization(self: &Arc<Self>) -> Result<Authorization, Failure> {
        if let Some(authorization) = self.current() {
            return Ok(authorization);
        }
        self.touch();
        match self.board(Wanted::Usable) {
            Boarding::Held(authorization) => Ok(authorization),
            Boarding::Paused(failure) => Err(failure),
            Boarding::Waiting(mut flight) => landing_of(&mut flight).await,
        }
    }

    /// Fetches another token though one is held, because a person asked; joins a fetch that is
    /// under way. The old token serves meanwhile, and on, where this fails.
    ///
    /// # Errors
    ///
    /// As [`TokenSource::authorization`].
    pub async fn refresh(self: &Arc<Self>) -> Result<Authorization, Failure> {
        self.identity.profile().client().retry_now();
        self.retry_now();
        match self.board(Wanted::Newer) {
            Boarding::Held(authorization) => Ok(authorization),
            Boarding::Paused(failure) => Err(failure),
            Boarding::Waiting(mut flight) => landing_of(&mut flight).await,
        }
    }

    /// An API answered 401 to the token with this `serial`. That token, and no newer one, is
    /// dropped. Returns whether sending the request again is worth it: with the newer token, or
    /// with the one that [`TokenSource::authorization`] will fetch.
    ///
    /// `false` where refusals follow fresh tokens too closely (it is not the token's fault, and
    /// the API's failures must not turn into token requests), or where a failed fetch was just
    /// followed by a pause: then the token stays and the 401 is the answer.
    pub fn rejected(&self, serial: u64) -> bool {
        let mut cold = self.lock();
        let held = self.live.load();
        if held.as_ref().is_none_or(|live| live.authorization.serial != serial) {
            return true;
        }
        let now = self.clock.monotonic();
        if self.pause_left(&cold, now).is_some() || !cold.damper.admit(now) {
            return false;
        }
        self.live.store(None);
        cold.anew = true;
        drop(cold);
        self.wake.notify_one();
        tracing::info!(client = self.client_name(), "the API refused the token; another one is fetched");
        true
    }

    /// Takes over the token of a source that differs in its key alone, until this one has fetched
    /// its own.
    pub(in crate::oauth) fn inherit(&self, other: &Self) {
        let mut cold = self.lock();
        let Some(old) = other.live.load_full().filter(|_| self.live.load().is_none()) else { return };
        cold.serial += 1;
        self.live.store(Some(Arc::new(old.due_now(cold.serial))));
    }

    /// Ends the pause after a refusal that a person was to mend: the configuration was read again.
    pub(in crate::oauth) fn retry_now(&self) {
        let mut cold = self.lock();
        let now = self.clock.monotonic();
        if let Some((error, until)) = &mut cold.last_failure
            && error.class() == Class::Permanent
        {
            *until = now;
            drop(cold);
            self.wake.notify_one();
        }
    }

    fn touch(&self) {
        let now = self.clock.monotonic().saturating_duration_since(self.born).as_millis() as u64;
        // Written only when it changes: the line stays shared between the cores.
        if self.last_used.load(Ordering::Relaxed) != now {
            self.last_used.store(now, Ordering::Relaxed);
        }
    }

    fn client_name(&self) -> &str {
        self.identity.profile().client().name()
    }

    fn lock(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// Whether a person must mend it (502), rather than time (503).
    pub fn is_permanent(&self) -> bool {
        self.error.class() == Class::Permanent
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
