//! [`after_the_others`]: what is done together costs less.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every task go first that is ready now.
///
/// Meant for right before a write: the writes of all of them then go out back to back, and a peer
/// that waits for them wakes up once and finds many, not one after another.
pub async fn after_the_others() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        // Not `yield_now`, which would wait for the driver to be polled as well.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
