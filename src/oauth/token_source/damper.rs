//! How often the refusals of an API may cause a token to be fetched.

use std::time::{Duration, Instant};

/// The least time between one fetch that a 401 caused and the next, growing with their number. A
/// token that was revoked is replaced at once, and a second time soon; an API that answers 401
/// whatever it is sent costs a token request every five minutes in the end.
const INTERVALS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(150),
    Duration::from_secs(300),
];

/// After so long without a refusal, the next one counts as the first.
const FORGETTING: Duration = Duration::from_secs(900);

#[derive(Debug, Default)]
pub(super) struct Damper {
    last: Option<Instant>,
    strikes: usize,
}

impl Damper {
    /// Whether a refusal at `now` may cause a fetch; counts it if so.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last {
            let since = now.saturating_duration_since(last);
            if since >= FORGETTING {
                self.strikes = 0;
            } else if since < INTERVALS[self.strikes.saturating_sub(1).min(INTERVALS.len() - 1)] {
                return false;
            }
        }
        self.last = Some(now);
        self.strikes += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_always_refuses_causes_few_fetches() {
        let start = Instant::now();
        let mut damper = Damper::default();
        let fetches =
            (0..3600 * 10).filter(|tenth| damper.admit(start + Duration::from_millis(100) * *tenth)).count();
        // 0 s, 5 s, 35 s, 95 s, 245 s, then every 300 s of the hour.
        assert_eq!(fetches, 5 + (3600 - 245) / 300);
    }

    #[test]
    fn an_old_refusal_is_forgotten() {
        let start = Instant::now();
        let mut damper = Damper::default();
        for strike in 0..6 {
            assert!(damper.admit(start + Duration::from_secs(strike * 300)));
        }
        let later = start + Duration::from_secs(1500) + FORGETTING;
        assert!(damper.admit(later));
        assert!(!damper.admit(later + Duration::from_secs(4)));
        assert!(damper.admit(later + Duration::from_secs(5)), "counted as the second, not the eighth");
    }
}
