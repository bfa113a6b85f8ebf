//! A token in use, with the times that follow from its life.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Authorization;
use crate::clock::Clock;
use crate::oauth::gate::jitter;
use crate::oauth::life::Life;
use crate::oauth::token_endpoint::AccessToken;

pub(super) struct Live {
    pub(super) authorization: Authorization,
    pub(super) life: Life,
    pub(super) refresh_after: Duration,
    pub(super) usable_for: Duration,
    pub(super) scope: Option<String>,
    /// Set by the request that found the time for a refresh to have come.
    pub(super) refresh_begun: AtomicBool,
}

impl Live {
    pub(super) fn new(token: &AccessToken, serial: u64) -> Self {
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

    /// The same token under another number, to be replaced as soon as may be.
    pub(super) fn due_now(&self, serial: u64) -> Self {
        Self {
            authorization: Authorization { serial, header: self.authorization.header.clone() },
            refresh_after: Duration::ZERO,
            refresh_begun: AtomicBool::new(false),
            scope: self.scope.clone(),
            ..*self
        }
    }

    /// Whether it may still be sent.
    pub(super) fn is_usable(&self, clock: &Clock) -> bool {
        self.life.is_within(self.usable_for, clock)
    }
}

/// When a token of this life is refreshed, and until when it is used, counted from its beginning.
///
/// Both are shares of the life, since lives differ (119 s to two hours): used to within a tenth of
/// its end, ten seconds at most; refreshed after about a third, so that an endpoint which is down for
/// half of each life costs no request. `jitter` (0 to 1) spreads the refreshes of identities that began together.
fn shares(life: Duration, jitter: f64) -> (Duration, Duration) {
    let margin = (life / 10).min(Duration::from_secs(10));
    let usable = life - margin;
    (life.mul_f64(0.32 + jitter * 0.04), usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_shares_of_the_life() {
        for (life, usable) in [(1_000, 900), (119_000, 109_000), (90_000, 81_000), (7_200_000, 7_190_000)] {
            let life = Duration::from_millis(life);
            for jitter in [0.0, 0.5, 1.0] {
                let (refresh, until) = shares(life, jitter);
                assert_eq!(until, Duration::from_millis(usable));
                assert!(refresh >= life.mul_f64(0.319) && refresh <= life.mul_f64(0.361), "{refresh:?}");
            }
        }
    }
}
