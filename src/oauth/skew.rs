//! The difference between the server's clock and ours.
//!
//! Seen from the `Date` of every answer and reported. The grant is stamped with the server's time
//! only after Maskinporten has refused one over time: a `Date` that a middlebox made up must not
//! spoil grants that would have been accepted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::oauth::token_endpoint::Sighting;

/// `Date` has whole seconds and the answer travelled; less than this is no difference.
const NOTICEABLE: i64 = 2_000;

/// Maskinporten takes an `iat` within 10 s of its time.
const TOLERATED: i64 = 10_000;

/// What is known of the difference, in milliseconds; positive where the server is ahead.
#[derive(Debug, Default)]
pub(in crate::oauth) struct Skew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    observed: Option<i64>,
    applied: i64,
}

impl Skew {
    pub(in crate::oauth) fn observe(&self, sighting: Sighting) {
        // `Date` is cut off to whole seconds: half a second later is the best guess.
        let server = sighting.server + Duration::from_millis(500);
        let difference = match server.duration_since(sighting.local) {
            Ok(ahead) => millis(ahead),
            Err(behind) => -millis(behind.duration()),
        };
        self.lock().observed = Some(difference);
    }

    /// Our `wall` time as the server would put it, as far as it has shown to be needed.
    pub(in crate::oauth) fn correct(&self, wall: SystemTime) -> SystemTime {
        let applied = self.lock().applied;
        let by = Duration::from_millis(applied.unsigned_abs());
        if applied < 0 { wall.checked_sub(by).unwrap_or(wall) } else { wall + by }
    }

    /// After a refusal: takes the difference into account, or leaves it out where it was taken
    /// into account and that is what was refused. `over_time` says that the refusal named time as
    /// its reason. Returns whether the next grant will have another time.
    pub(in crate::oauth) fn refused(&self, over_time: bool) -> bool {
        let mut state = self.lock();
        let observed = state.observed.unwrap_or_default();
        let off = (observed - state.applied).abs();
        if off > if over_time { NOTICEABLE } else { TOLERATED } {
            state.applied = observed;
            return true;
        }
        if over_time && state.applied != 0 {
            state.applied = 0;
            return true;
        }
        false
    }

    /// After a grant was accepted: a correction that is in use follows the clocks.
    pub(in crate::oauth) fn accepted(&self) {
        let mut state = self.lock();
        if state.applied != 0
            && let Some(observed) = state.observed
        {
            state.applied = if observed.abs() <= NOTICEABLE { 0 } else { observed };
        }
    }

    /// The difference last seen, in whole seconds; positive where the server is ahead of us.
    /// `None` until an answer had a `Date`.
    pub(in crate::oauth) fn seconds(&self) -> Option<i64> {
        let observed = self.lock().observed?;
        Some(if observed.abs() <= NOTICEABLE { 0 } else { (observed + observed.signum() * 500) / 1000 })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> i64 {
    // A century is more than two clocks differ by, and far from overflow.
    duration.as_millis().min(100 * 365 * 86_400_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn seen(server: u64, local: u64) -> Skew {
        let skew = Skew::default();
        skew.observe(Sighting { server: at(server), local: at(local) });
        skew
    }

    #[test]
    fn a_difference_is_reported_but_applied_only_after_a_refusal() {
        let skew = seen(1_000, 1_300);
        assert_eq!(skew.seconds(), Some(-300));
        assert_eq!(skew.correct(at(1_300)), at(1_300));

        assert!(skew.refused(true));
        let corrected = skew.correct(at(1_300));
        assert!(corrected >= at(1_000) && corrected < at(1_001), "{corrected:?}");
    }

    #[test]
    fn a_date_that_lies_is_left_out_again() {
        let skew = seen(4_600, 1_000);
        assert!(skew.refused(true));
        assert!(skew.refused(true), "the corrected time was refused too");
        assert_eq!(skew.correct(at(1_000)), at(1_000));
    }

    #[test]
    fn small_differences_and_refusals_for_other_reasons_change_nothing() {
        assert!(!seen(1_001, 1_000).refused(true));
        assert!(!seen(1_008, 1_000).refused(false));
        assert!(seen(1_030, 1_000).refused(false), "beyond what is tolerated it may be the reason");
        assert!(!Skew::default().refused(true), "nothing is known without a Date");
    }

    #[test]
    fn the_correction_follows_a_clock_that_is_set_right() {
        let skew = seen(1_000, 1_300);
        assert!(skew.refused(true));
        skew.observe(Sighting { server: at(1_100), local: at(1_150) });
        skew.accepted();
        assert!(skew.correct(at(1_150)) < at(1_102));
        skew.observe(Sighting { server: at(1_200), local: at(1_200) });
        skew.accepted();
        assert_eq!(skew.correct(at(1_200)), at(1_200));
    }
}
