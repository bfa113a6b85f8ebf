//! [`Deadline`]: a timer that is cheap to set again and again; [`Timer`]: one that is shared.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::clock;

/// A deadline that moves with every request of a connection.
///
/// The runtime's timer is left where it stands when the deadline moves away; when it fires too
/// early, it is set to the deadline that holds by then. So a busy connection touches the timer
/// wheel once in a timeout, not once in a request. The price is a wake-up for nothing now and
/// then.
#[derive(Debug, Default)]
pub struct Deadline {
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom `sleep` will wake.
    waker: Option<Waker>,
}

/// A [`Deadline`] for what one task waits for, one thing after the other, in whatever part of the
/// program: the task's waker is known to it from the time before. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Timer(Rc<RefCell<Deadline>>);

impl Timer {
    /// See [`Deadline::set`].
    pub fn set(&self, after: Duration) {
        self.0.borrow_mut().set(after);
    }

    /// See [`Deadline::clear`].
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// See [`Deadline::is_set`].
    pub fn is_set(&self) -> bool {
        self.0.borrow().is_set()
    }

    /// See [`Deadline::poll_passed`].
    pub fn poll_passed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.borrow_mut().poll_passed(cx)
    }
}

impl Deadline {
    /// Sets the deadline to `after` from now.
    pub fn set(&mut self, after: Duration) {
        self.due = Some(clock::now() + after);
    }

    pub fn clear(&mut self) {
        self.due = None;
    }

    pub fn is_set(&self) -> bool {
        self.due.is_some()
    }

    /// Ready, once, when the deadline has passed; pending as long as none is set.
    #[inline]
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        if self.is_watched(due, cx.waker()) {
            return Poll::Pending;
        }
        self.watch(due, cx)
    }

    #[inline(never)]
    fn watch(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                self.due = None;
                // A timer that has fired would be ready for ever.
                self.sleep = None;
                self.waker = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether the timer runs, fires in time, and wakes this task: then it need not be asked,
    /// which costs more.
    fn is_watched(&self, due: Instant, waker: &Waker) -> bool {
        self.sleep.as_ref().is_some_and(|sleep| sleep.deadline() <= due && !sleep.is_elapsed())
            && self.waker.as_ref().is_some_and(|known| known.will_wake(waker))
    }
}
