//! Bodies that wait until the upstream wants them (RFC 9110 §10.1.1).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// An upstream that says nothing to `Expect: 100-continue` gets the body after this: nobody is to
/// wait for ever.
const CONTINUE_GRACE: Duration = Duration::from_secs(1);

/// Waits for the upstream's `100 Continue`, or until the grace is over.
pub(super) struct Hold {
    go_ahead: GoAhead,
    grace: Pin<Box<Sleep>>,
}

/// Set by the upstream's `100 Continue`.
#[derive(Clone, Debug, Default)]
pub(crate) struct GoAhead(Arc<AtomicBool>);

impl GoAhead {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Hold {
    /// With the flag that ends it.
    pub(super) fn new() -> (Self, GoAhead) {
        let go_ahead = GoAhead::default();
        let grace = Box::pin(tokio::time::sleep(CONTINUE_GRACE));
        (Self { go_ahead: go_ahead.clone(), grace }, go_ahead)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.go_ahead.0.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.grace.as_mut().poll(cx)
    }
}
