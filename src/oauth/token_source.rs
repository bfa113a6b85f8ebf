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
use crate::oauth::fetch::{Fetch, shares};
use crate::oauth::gate::{FetchError, jitter, pause};
use crate::oauth::identity::Identity;
use crate::oauth::life::Life;
use crate::oauth::mp::Language;
use crate::oauth::token_endpoint::AccessToken;

mod damper;
mod keeper;
mod status;

pub use status::{TokenState, TokenStatus};

use damper::Damper;

/// Pauses between attempts while a token is held: up to a quarter of what is left of its life,
/// within these bounds.
const LONGEST_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// After a failure nobody tries again sooner, whatever the pause that was asked for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

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

struct Live {
    authorization: Authorization,
    life: Life,
    refresh_after: Duration,
    usable_for: Duration,
    scope: Option<String>,
    /// Set by the request that found the time for a refresh to have come.
    refresh_begun: AtomicBool,
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

type Landing = Result<Authorization, Failure>;

/// A fetch under way. It always lands: where its task is cut off, with an error.
struct Flight {
    source: Arc<TokenSource>,
    landing: watch::Sender<Option<Landing>>,
    landed: bool,
}

enum Boarding {
    Held(Authorization),
    Waiting(watch::Receiver<Option<Landing>>),
    Paused(Failure),
}

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
    pub fn current(self: &Arc<Self>) -> Option<Authorization> {
        let held = self.live.load();
        let live = held.as_ref()?;
        if !live.life.is_within(live.usable_for, &self.clock) {
            return None;
        }
        if !self.kept.load(Ordering::Relaxed) {
            self.touch();
            let due = !live.life.is_within(live.refresh_after, &self.clock);
            if due && !live.refresh_begun.swap(true, Ordering::Relaxed) {
                self.board(true);
            }
        }
        Some(live.authorization.clone())
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
        match self.board(false) {
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
        self.live.store(Some(Arc::new(Live {
            authorization: Authorization { serial: cold.serial, header: old.authorization.header.clone() },
            life: old.life,
            refresh_after: Duration::ZERO,
            usable_for: old.usable_for,
            scope: old.scope.clone(),
            refresh_begun: AtomicBool::new(false),
        })));
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

    /// Joins the fetch under way or begins one, unless a token is held or a pause is in force.
    /// For a `refresh`, a token that is due does not count as held.
    fn board(self: &Arc<Self>, refresh: bool) -> Boarding {
        let mut cold = self.lock();
        if let Some(live) = &*self.live.load() {
            let limit = if refresh { live.refresh_after } else { live.usable_for };
            if live.life.is_within(limit, &self.clock) {
                return Boarding::Held(live.authorization.clone());
            }
        }
        if let Some(flight) = &cold.flight {
            return Boarding::Waiting(flight.clone());
        }
        if let Some(failure) = self.pause_left(&cold, self.clock.monotonic()) {
            return Boarding::Paused(failure);
        }
        let (landing, flight) = watch::channel(None);
        cold.flight = Some(flight.clone());
        let anew = std::mem::take(&mut cold.anew);
        drop(cold);

        let takeoff = Flight { source: Arc::clone(self), landing, landed: false };
        self.runtime.spawn(async move {
            let result = takeoff.source.fetch.fetch(anew).await;
            takeoff.land(result);
        });
        Boarding::Waiting(flight)
    }

    /// Takes in what a fetch brought, before anyone is told of it.
    fn land(&self, result: Result<AccessToken, FetchError>) -> Landing {
        let mut cold = self.lock();
        cold.flight = None;
        match result {
            Ok(token) => {
                cold.serial += 1;
                let live = Live::new(&token, cold.serial);
                let authorization = live.authorization.clone();
                if cold.last_failure.take().is_some() {
                    tracing::info!(client = self.client_name(), "the token could be fetched again");
                }
                cold.failures = 0;
                self.log_obtained(&token);
                self.live.store(Some(Arc::new(live)));
                drop(cold);
                self.wake.notify_one();
                Ok(authorization)
            }
            Err(FetchError { error, not_before }) => {
                let now = self.clock.monotonic();
                cold.failures = cold.failures.saturating_add(1);
                let own = || now + pause(&error, cold.failures, self.longest_pause());
                let until = not_before.unwrap_or_else(own).max(now + SHORTEST_PAUSE);
                let failure = Failure { retry_after: until - now, error: Arc::clone(&error) };
                self.log_failed(&failure, cold.failures);
                cold.last_failure = Some((error, until));
                // A request that uses the old token may begin the next attempt.
                if let Some(live) = &*self.live.load() {
                    live.refresh_begun.store(false, Ordering::Relaxed);
                }
                Err(failure)
            }
        }
    }

    /// The last failure, while the pause after it lasts.
    fn pause_left(&self, cold: &Cold, now: Instant) -> Option<Failure> {
        let (error, until) = cold.last_failure.as_ref()?;
        let retry_after = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Failure { error: Arc::clone(error), retry_after })
    }

    fn longest_pause(&self) -> Duration {
        let left = self
            .live
            .load()
            .as_ref()
            .map_or(Duration::ZERO, |live| live.life.until(live.usable_for, &self.clock));
        (left / 4).clamp(LONGEST_PAUSE.0, LONGEST_PAUSE.1)
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

    fn log_obtained(&self, token: &AccessToken) {
        let scopes = token.scope().map_or_else(|| self.identity.profile().scopes().join(" "), str::to_owned);
        let seconds = token.expires_in().as_secs();
        tracing::info!(client = self.client_name(), scopes, expires_in = seconds, "token obtained");
    }

    fn log_failed(&self, failure: &Failure, failures: u32) {
        let Failure { error, retry_after } = failure;
        let (client, pause) = (self.client_name(), retry_after.as_secs_f32());
        // Of a fault that lasts, the first word is the one that matters.
        if failures > 3 {
            tracing::debug!(client, %error, failures, pause, "still no token");
        } else {
            let fix = error.fix(Language::English);
            tracing::warn!(client, %error, cause = error.cause(Language::English), fix, pause, "no token");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn new(token: &AccessToken, serial: u64) -> Self {
        let life = token.life();
        let (refresh_after, usable_for) = shares(life.length(), jitter());
        Self {
            authorization: Authorization { header: token.to_header(), serial },
            life,
            refresh_after,
            usable_for,
            scope: token.scope().map(str::to_owned),
            refresh_begun: AtomicBool::new(false),
        }
    }
}

impl Flight {
    fn land(mut self, result: Result<AccessToken, FetchError>) {
        self.landed = true;
        self.landing.send_replace(Some(self.source.land(result)));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            let error = Arc::new(TokenError::Interrupted);
            let result = Err(FetchError { error, not_before: None });
            self.landing.send_replace(Some(self.source.land(result)));
        }
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

async fn landing_of(flight: &mut watch::Receiver<Option<Landing>>) -> Landing {
    // Every flight lands before its sender goes, so the error stands for none that is known.
    let landing = flight.wait_for(Option::is_some).await.ok().and_then(|landing| landing.clone());
    landing.unwrap_or_else(|| {
        Err(Failure { error: Arc::new(TokenError::Interrupted), retry_after: Duration::from_secs(1) })
    })
}

#[cfg(test)]
mod tests;
