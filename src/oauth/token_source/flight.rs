//! A fetch under way, those who wait for it, and what it leaves behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::live::Live;
use super::{Authorization, Cold, Failure, Landing, TokenSource};
use crate::oauth::error::TokenError;
use crate::oauth::fetch::Errand;
use crate::oauth::gate::{FetchError, LONGEST, Pause};
use crate::oauth::mp::Language;
use crate::oauth::token_endpoint::AccessToken;

/// The longest pause between attempts while no token is held, and requests are failing for it.
const COLD: Duration = Duration::from_secs(6);

/// After a failure nobody tries again sooner, whatever little is left of a token's life.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// A fetch under way. It always lands: where its task is cut off, with an error.
struct Flight {
    source: Arc<TokenSource>,
    landing: watch::Sender<Option<Landing>>,
    landed: bool,
}

/// How one who needs a token goes on.
pub(super) enum Boarding {
    Held(Authorization),
    Waiting(watch::Receiver<Option<Landing>>),
    Paused(Failure),
}

/// Which held token is good enough to begin no fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One that a request can have.
    Usable,
    /// One that is not due for a refresh.
    NotDue,
    /// None: a person asked for another.
    Newer,
}

impl TokenSource {
    /// Joins the fetch under way or begins one, unless a token is held or a pause is in force.
    pub(super) fn board(self: &Arc<Self>, wanted: Wanted) -> Boarding {
        let mut cold = self.lock();
        if let Some(live) = &*self.live.load() {
            let limit = match wanted {
                Wanted::Usable => live.usable_for,
                Wanted::NotDue => live.refresh_after,
                Wanted::Newer => Duration::ZERO,
            };
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

        let errand = Errand { anew, longest_pause: self.longest_pause() };
        let takeoff = Flight { source: Arc::clone(self), landing, landed: false };
        self.runtime.spawn(async move {
            let result = takeoff.source.fetch.fetch(errand).await;
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
                let own = || now + Pause::after(&error, cold.failures).within(self.longest_pause());
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
    pub(super) fn pause_left(&self, cold: &Cold, now: Instant) -> Option<Failure> {
        let (error, until) = cold.last_failure.as_ref()?;
        let retry_after = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Failure { error: Arc::clone(error), retry_after })
    }

    /// A tenth of the time for which the held token can still be used: so there is always another
    /// attempt before it ends, and a fault that passes before that costs nobody anything.
    fn longest_pause(&self) -> Duration {
        let left = self
            .live
            .load()
            .as_ref()
            .map_or(Duration::ZERO, |live| live.life.until(live.usable_for, &self.clock));
        if left.is_zero() { COLD } else { (left / 10).clamp(SHORTEST_PAUSE, LONGEST) }
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

/// Waits for a fetch, and tells what came of it.
pub(super) async fn landing_of(flight: &mut watch::Receiver<Option<Landing>>) -> Landing {
    // Every flight lands before its sender goes, so the error stands for none that is known.
    let landing = flight.wait_for(Option::is_some).await.ok().and_then(|landing| landing.clone());
    landing.unwrap_or_else(|| {
        Err(Failure { error: Arc::new(TokenError::Interrupted), retry_after: Duration::from_secs(1) })
    })
}
