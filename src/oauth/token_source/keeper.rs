//! The task that keeps a token fresh although nobody asks for it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::TokenSource;
use super::flight::{Boarding, Wanted, landing_of};

/// The longest sleep before the clocks are looked at again. Timers go by the monotonic clock,
/// which stands still while a laptop sleeps: after waking, a token that died meanwhile is replaced
/// within this time even where no request asks.
const SLICE: Duration = Duration::from_secs(5);

impl TokenSource {
    /// Fetches the token now and refreshes it ahead of its end, until [`TokenSource::let_go`] or
    /// until nobody else holds this source. Asking again changes nothing.
    pub fn keep_fresh(self: &Arc<Self>) {
        if !self.kept.swap(true, Ordering::Relaxed) {
            self.runtime.spawn(keep(Arc::downgrade(self)));
        }
    }

    /// Ends the refreshing; the token serves as long as it lives.
    pub fn let_go(&self) {
        self.kept.store(false, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// How long until the next attempt is due; zero where that is now.
    fn due_in(&self) -> Duration {
        let paused = self.pause_left(&self.lock(), self.clock.monotonic());
        let refresh = self.live.load().as_ref().map_or(Duration::ZERO, |live| {
            // A token that the clocks no longer vouch for is replaced at once.
            if live.is_usable(&self.clock) {
                live.life.until(live.refresh_after, &self.clock)
            } else {
                Duration::ZERO
            }
        });
        paused.map_or(refresh, |failure| failure.retry_after.max(refresh))
    }
}

async fn keep(source: Weak<TokenSource>) {
    loop {
        let Some(held) = source.upgrade().filter(|source| source.is_kept()) else { return };
        let wait = held.due_in();
        if wait.is_zero() {
            // A success moves the due time on, and a failure begins a pause.
            if let Boarding::Waiting(mut flight) = held.board(Wanted::NotDue) {
                let _ = landing_of(&mut flight).await;
            } else {
                tokio::task::yield_now().await;
            }
            continue;
        }
        let wake = Arc::clone(&held.wake);
        drop(held);
        let _ = tokio::time::timeout(wait.min(SLICE), wake.notified()).await;
    }
}
