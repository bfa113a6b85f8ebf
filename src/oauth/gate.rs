//! The pauses between attempts, and a gate that holds them for everyone at once.
//!
//! When the token endpoint is down or asks for a pause, that concerns every identity of the
//! client: while the gate is shut, nobody asks and everybody is told why. When the pause is over,
//! one attempt goes ahead and the others wait for what it finds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::oauth::error::{Class, TokenError};

/// The first pause is half of this up to all of it; each further one twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// No pause after a fault that may pass is longer, unless the other side asked for it.
pub(in crate::oauth) const LONGEST: Duration = Duration::from_secs(60);

/// The pause after a refusal that only a person can mend.
pub(in crate::oauth) const PERMANENT: Duration = Duration::from_secs(60);

/// A pause that is asked for is never taken to be shorter than this.
const SHORTEST_ASKED: Duration = Duration::from_secs(1);

/// Why a fetch brought no token, and from when on another is worth making.
#[derive(Clone, Debug)]
pub struct FetchError {
    pub error: Arc<TokenError>,
    /// Where the pause holds for others too; `None` leaves it to the one who asked.
    pub not_before: Option<Instant>,
}

/// Open, or shut until a time.
#[derive(Debug)]
pub(in crate::oauth) struct Gate {
    clock: Clock,
    state: Mutex<State>,
    probe: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    shut: Option<Shut>,
    failures: u32,
    /// Goes up with each change, so that of many attempts that fail together one counts.
    epoch: u64,
}

#[derive(Clone, Debug)]
struct Shut {
    since: Instant,
    pause: Pause,
    error: Arc<TokenError>,
}

/// How long to wait after a failure, and whether one in a hurry may wait for less.
#[derive(Clone, Copy, Debug)]
pub(in crate::oauth) struct Pause {
    length: Duration,
    jitter: f64,
    firm: bool,
}

/// Leave to make one attempt. While the last one failed, the only such leave there is.
pub(in crate::oauth) struct Pass<'a> {
    gate: &'a Gate,
    epoch: u64,
    longest: Duration,
    _probe: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Gate {
    pub(in crate::oauth) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), probe: tokio::sync::Mutex::new(()) }
    }

    /// Waits for leave to make an attempt; an error where the gate is shut. A pause that nobody
    /// asked for is `longest` at most: how long depends on what there is to lose by waiting.
    pub(in crate::oauth) async fn enter(&self, longest: Duration) -> Result<Pass<'_>, FetchError> {
        if let Some(epoch) = self.admit(longest)? {
            return Ok(Pass { gate: self, epoch, longest, _probe: None });
        }
        let probe = self.probe.lock().await;
        // The attempt that was waited for may have opened the gate, or shut it again.
        match self.admit(longest)? {
            Some(epoch) => Ok(Pass { gate: self, epoch, longest, _probe: None }),
            None => Ok(Pass { gate: self, epoch: self.lock().epoch, longest, _probe: Some(probe) }),
        }
    }

    /// Forgets a refusal that a person was to mend. A pause that the other side asked for stays.
    pub(in crate::oauth) fn forgive(&self) {
        let mut state = self.lock();
        if state.shut.as_ref().is_some_and(|shut| shut.error.class() == Class::Permanent) {
            *state = State { epoch: state.epoch + 1, ..State::default() };
        }
    }

    /// The epoch where the gate is open, `None` where one attempt at a time may go ahead.
    fn admit(&self, longest: Duration) -> Result<Option<u64>, FetchError> {
        let state = self.lock();
        let Some(shut) = &state.shut else { return Ok(Some(state.epoch)) };
        let until = shut.since + shut.pause.within(longest);
        if self.clock.monotonic() >= until {
            return Ok(None);
        }
        Err(FetchError { error: Arc::clone(&shut.error), not_before: Some(until) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The other side answered as it should.
    pub(in crate::oauth) fn succeeded(self) {
        let mut state = self.gate.lock();
        if state.shut.is_some() && state.epoch == self.epoch {
            *state = State { epoch: state.epoch + 1, ..State::default() };
        }
    }

    /// It failed in a way that concerns everyone. Shuts the gate, and says until when.
    pub(in crate::oauth) fn failed(self, error: &Arc<TokenError>) -> FetchError {
        let mut state = self.gate.lock();
        if state.epoch == self.epoch {
            state.failures += 1;
            state.epoch += 1;
            let pause = Pause::after(error, state.failures);
            state.shut = Some(Shut { since: self.gate.clock.monotonic(), pause, error: Arc::clone(error) });
        }
        let not_before = state.shut.as_ref().map(|shut| shut.since + shut.pause.within(self.longest));
        FetchError { error: Arc::clone(error), not_before }
    }
}

impl Pause {
    /// The pause after `error`, which was the `failures`-th in a row: what the other side asked
    /// for; a minute after a refusal that a person must mend; else twice as long each time. With
    /// jitter, so that many proxies do not come back in step.
    pub(in crate::oauth) fn after(error: &TokenError, failures: u32) -> Self {
        let jitter = jitter();
        if let Some(asked) = error.retry_after() {
            return Self { length: asked.max(SHORTEST_ASKED), jitter, firm: true };
        }
        if error.class() == Class::Permanent {
            return Self { length: PERMANENT, jitter, firm: true };
        }
        let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
        Self { length: doubled.min(LONGEST), jitter, firm: false }
    }

    /// The pause for one to whom `longest` is long enough.
    pub(in crate::oauth) fn within(&self, longest: Duration) -> Duration {
        if self.firm {
            return self.length.mul_f64(1.0 + self.jitter / 20.0);
        }
        self.length.min(longest).mul_f64(0.5 + self.jitter / 2.0)
    }
}

/// From 0 to 1, evenly.
pub(in crate::oauth) fn jitter() -> f64 {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper 32 bits of a version 4 UUID are all random.
    (random >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
