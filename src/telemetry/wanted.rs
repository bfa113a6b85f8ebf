//! How many more records the collector has a use for, so that a worker makes none that nobody
//! reads: all of them where there is an access log, else as many as the status page shows, if there
//! is one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::recent::KEPT;

/// Exchanges each second that are kept for the status page, beyond a burst as large as the ring.
/// Nobody reads more, and to redact all of them would cost a busy proxy a good part of a core.
const SHOWN: f64 = 2000.0;

/// Shared by the workers, which take from it, and the collector, which fills it up. A busy worker
/// finds it empty and a logging one without limit; neither writes to it, so that it stays in every
/// processor's cache.
#[derive(Debug)]
pub(super) struct Wanted(AtomicU32);

/// How many exchanges may still be kept for the status page: a bucket that fills by the clock.
pub(super) struct Allowance {
    pub(super) left: f64,
    pub(super) filled: Instant,
}

impl Wanted {
    const EVERY: u32 = u32::MAX;

    /// Nothing is wanted until the collector says so.
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether there is a use for another record.
    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Whether to send one more record.
    pub(super) fn take(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => false,
            Self::EVERY => true,
            _ => self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok(),
        }
    }

    pub(super) fn want_every(&self) {
        self.0.store(Self::EVERY, Ordering::Relaxed);
    }

    pub(super) fn want_none(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Hands over what `allowance` holds in whole records.
    pub(super) fn want(&self, allowance: &mut Allowance, now: Instant) {
        if self.0.load(Ordering::Relaxed) == Self::EVERY {
            self.0.store(0, Ordering::Relaxed);
        }
        // A worker that takes meanwhile is not given a substitute before the next time.
        allowance.fill(now, self.0.load(Ordering::Relaxed));
        let whole = allowance.left.trunc();
        self.0.fetch_add(whole as u32, Ordering::Relaxed);
        allowance.left -= whole;
    }

    /// Whether the workers hold as much as there ever is for them.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= KEPT as u32
    }
}

fn less(left: u32) -> Option<u32> {
    match left {
        0 => None,
        Wanted::EVERY => Some(left),
        _ => Some(left - 1),
    }
}

impl Allowance {
    pub(super) fn full() -> Self {
        Self { left: KEPT as f64, filled: Instant::now() }
    }

    /// `out` are in the workers' hands.
    pub(super) fn fill(&mut self, now: Instant, out: u32) {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.filled, now));
        let room = KEPT as f64 - f64::from(out);
        self.left = (self.left + since.as_secs_f64() * SHOWN).min(room.max(0.0));
    }

    pub(super) fn take(&mut self) -> bool {
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_what_is_wanted_and_no_more() {
        let wanted = Wanted::new();
        assert!(!wanted.take());
        let now = Instant::now();
        let mut allowance = Allowance { left: 100.5, filled: now };
        wanted.want(&mut allowance, now);
        let taken: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| wanted.take()).count())).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!((taken, allowance.left), (100, 0.5));
        wanted.want_every();
        assert!((0..10_000).all(|_| wanted.take()));
        // From all to a bounded number again, as when a filter is changed.
        allowance.left = 2.0;
        wanted.want(&mut allowance, now);
        assert_eq!((0..10).filter(|_| wanted.take()).count(), 2);
    }

    #[test]
    fn the_bucket_holds_no_more_than_the_ring_with_what_is_out() {
        let wanted = Wanted::new();
        let began = Instant::now();
        let mut allowance = Allowance { left: 0.0, filled: began };
        let at = |milliseconds| began + std::time::Duration::from_millis(milliseconds);
        wanted.want(&mut allowance, at(100));
        assert_eq!((wanted.0.load(Ordering::Relaxed), wanted.is_full()), (200, false));
        wanted.want(&mut allowance, at(10_000));
        assert_eq!((wanted.0.load(Ordering::Relaxed), wanted.is_full()), (KEPT as u32, true));
        wanted.want(&mut allowance, at(20_000));
        assert_eq!((wanted.0.load(Ordering::Relaxed), allowance.left), (KEPT as u32, 0.0));
    }
}
