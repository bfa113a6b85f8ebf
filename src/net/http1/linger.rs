//! A close that loses nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::wire::Wire;
use crate::net::timer::Deadline;

/// Silence that ends the wait for the client's own close, and the whole of it.
const SILENCE: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(30);

/// Closes the way to the client, then reads what it still sends for a while: a close over unread
/// bytes is a reset, which may take the answer with it (RFC 9112 §9.6).
///
/// `sending`: the client is expected to be still sending; otherwise its close is not waited for.
pub(super) async fn close(wire: &Rc<RefCell<Wire>>, sending: bool) {
    if poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx)).await.is_err() {
        return;
    }
    let (mut silence, mut whole) = (Deadline::default(), Deadline::default());
    silence.set(SILENCE);
    whole.set(WHOLE);
    poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        let wait = sending || !wire.input.is_empty();
        loop {
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    wire.input.clear();
                    silence.set(SILENCE);
                    if whole.poll_passed(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if !wait => return Poll::Ready(()),
                Poll::Pending => {
                    if silence.poll_passed(cx).is_ready() || whole.poll_passed(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
}
