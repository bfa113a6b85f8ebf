//! Time as an argument: the wall clock and the monotonic one, real or under a test's control.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use pin_project_lite::pin_project;

use crate::hint::seldom;

thread_local! {
    /// What the monotonic clock said in this turn; `None` outside of turns.
    static TURN: Cell<Option<Option<tokio::time::Instant>>> = const { Cell::new(None) };
}

pin_project! {
    /// A task in whose turns [`now`] reads the clock once. A turn lasts for some microseconds, and
    /// several readings of the clock would be a measurable share of them.
    pub struct InTurns<F> {
        #[pin]
        task: F,
    }
}

/// Makes each poll of `task` a turn.
pub fn in_turns<F: Future>(task: F) -> InTurns<F> {
    InTurns { task }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// Ends the turn, also where the task panics.
        struct Turn;
        impl Drop for Turn {
            fn drop(&mut self) {
                TURN.set(None);
            }
        }
        TURN.set(Some(None));
        let _turn = Turn;
        self.project().task.poll(cx)
    }
}

/// The monotonic clock, for time limits and for telling how long something took: within a turn of
/// a task that is [`in_turns`] it stands still.
#[inline]
pub fn now() -> tokio::time::Instant {
    match TURN.get() {
        Some(Some(now)) => now,
        turn => {
            seldom();
            read(turn.is_some())
        }
    }
}

/// Reads the clock, for the rest of the turn where there is one.
#[inline(never)]
fn read(in_turn: bool) -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    if in_turn {
        TURN.set(Some(Some(now)));
    }
    now
}

/// A source of both clocks. Sleeping is tokio's business (`tokio::time::pause` in tests); this
/// is for judging lives and stamping grants.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

#[derive(Debug)]
struct Manual {
    now: Mutex<(SystemTime, Instant)>,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(None)
    }

    /// Clocks that stand still until they are moved.
    pub fn manual(wall: SystemTime) -> Self {
        Self(Some(Arc::new(Manual { now: Mutex::new((wall, Instant::now())) })))
    }

    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(manual) => manual.read().0,
        }
    }

    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            None => now().into_std(),
            Some(manual) => manual.read().1,
        }
    }

    /// Moves both clocks of a manual clock, as time does. No effect on the machine's.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            let mut now = manual.lock();
            *now = (now.0 + by, now.1 + by);
        }
    }

    /// Sets the wall clock alone, as an administrator, NTP or a resumed laptop does.
    pub fn set_wall(&self, to: SystemTime) {
        if let Some(manual) = &self.0 {
            manual.lock().0 = to;
        }
    }
}

impl Manual {
    fn lock(&self) -> std::sync::MutexGuard<'_, (SystemTime, Instant)> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read(&self) -> (SystemTime, Instant) {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_clock_stands_still_in_a_turn_and_goes_on_between_them() {
        let mut turns = Vec::new();
        in_turns(std::future::poll_fn(|cx| {
            let first = now();
            std::thread::sleep(Duration::from_millis(2));
            turns.push((first, now()));
            cx.waker().wake_by_ref();
            if turns.len() < 2 { Poll::Pending } else { Poll::Ready(()) }
        }))
        .await;
        assert_eq!((turns[0].0, turns[1].0), (turns[0].1, turns[1].1));
        assert!(turns[1].0 >= turns[0].0 + Duration::from_millis(2));
        assert!(now() >= turns[1].0 + Duration::from_millis(2), "outside of turns it goes on");
    }

    #[tokio::test]
    async fn a_panic_ends_the_turn() {
        let task = in_turns(async {
            let _read = now();
            panic!("on purpose");
        });
        let outcome = tokio::spawn(task).await;
        assert!(outcome.unwrap_err().is_panic());
        assert_eq!(TURN.get(), None);
    }
}
