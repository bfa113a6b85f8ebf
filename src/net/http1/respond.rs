//! Writing a response, and what becomes of the connection behind it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::oneshot;

use super::Connection;
use super::encode::{self, Asked, Sending};
use super::linger;
use super::wire::{Reading, Wire};
use crate::hint::{apart, seldom};
use crate::message::Response;
use crate::net::serve::Turns;
use crate::net::upgrade::Upgraded;

/// Bytes of a response's body that are taken from it ahead of being written.
const AHEAD: usize = 256 * 1024;

/// How writing a response ended.
#[derive(PartialEq, Eq)]
enum Outcome {
    Sent,
    /// The body broke off; what there was of it has been written.
    Broken,
    /// The client has gone, or takes nothing.
    Lost,
}

/// A response's body on its way.
struct Writing {
    sending: Sending,
    /// All that will come of the body has come.
    ended: bool,
    broken: bool,
}

impl Connection {
    /// Writes the response; whether the connection stays for another request.
    ///
    /// `closing`: it is the last in any case. `switch`: who gets the connection where the
    /// response makes it another protocol's.
    pub(super) async fn respond<B>(
        &mut self,
        response: Response<B>,
        asked: Asked,
        closing: bool,
        switch: Option<oneshot::Sender<Upgraded>>,
        turns: &mut Turns,
    ) -> bool
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Response { head, body } = response;
        let switches = asked.switches(head.status);
        let mut close = closing || !asked.keep_alive;
        // Asked for before the wire is taken hold of: the body may be that of the request.
        let exact = body.size_hint().exact();
        let sending = {
            let mut wire = self.wire.borrow_mut();
            if let Some(interim) = self.waiting.take() {
                seldom();
                wire.push_small(&interim);
            }
            self.waiting.answered(self.count);
            wire.expects_continue = false;
            // A body that nobody reads is read over, as far as it is there: nothing of it must
            // be taken for the next request (RFC 9112 §9.3).
            close |= !wire.owned && !wire.skip_body();
            encode::head(&mut wire.out, &head, asked, exact, &mut close)
        };
        let to_close = matches!(sending, Sending::ToClose);
        let mut writing = Writing { ended: matches!(sending, Sending::Nothing), sending, broken: false };
        let mut body = pin!(Some(body));
        drop(head);
        let outcome = poll_fn(|cx| {
            let outcome = writing.poll(cx, body.as_mut(), &self.wire);
            if outcome.is_pending() && turns.poll_cut(cx) {
                seldom();
                return Poll::Ready(Outcome::Lost);
            }
            outcome
        })
        .await;
        if outcome != Outcome::Sent {
            seldom();
            if to_close {
                // A plain close could be taken for the body's end.
                self.wire.borrow().abort();
            }
            return false;
        }
        if switches {
            seldom();
            if let Some(switch) = switch {
                let (io, early) = self.wire.borrow_mut().take();
                // Where nobody waits for it, it closes.
                let _ = switch.send(Upgraded::new(io, early));
            }
            return false;
        }
        let whole = matches!(self.wire.borrow().reading, Reading::Done);
        if close || !whole {
            apart(|| linger::close(&self.wire, !whole)).await;
            return false;
        }
        true
    }
}

impl Writing {
    fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut Option<B>>,
        wire: &RefCell<Wire>,
    ) -> Poll<Outcome>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        loop {
            let pending = self.poll_body(cx, body.as_mut(), wire);
            if self.ended {
                // Whoever watches it knows of its end before the client does.
                body.set(None);
            }
            let mut wire = wire.borrow_mut();
            if ready!(wire.poll_write_all(cx)).is_err() {
                seldom();
                return Poll::Ready(Outcome::Lost);
            }
            if !pending && !self.ended {
                continue;
            }
            if ready!(wire.poll_flush(cx)).is_err() {
                seldom();
                return Poll::Ready(Outcome::Lost);
            }
            if self.broken {
                seldom();
                return Poll::Ready(Outcome::Broken);
            }
            if self.ended {
                return Poll::Ready(Outcome::Sent);
            }
            return wire.poll_gone(cx, false).map(|()| Outcome::Lost);
        }
    }

    /// Takes from the body what there is, up to a bound; whether more has to be waited for.
    ///
    /// The wire is not held while the body is asked, which may read from it.
    fn poll_body<B>(&mut self, cx: &mut Context<'_>, body: Pin<&mut Option<B>>, wire: &RefCell<Wire>) -> bool
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(mut body) = body.as_pin_mut() else { return false };
        while !self.ended && wire.borrow().waiting_to_go() < AHEAD {
            let complete = self.sending.is_complete();
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                // What is announced is there; that nothing follows need not be waited for.
                Poll::Pending if complete => None,
                Poll::Pending => return true,
            };
            let trailers = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.sending.data(&mut wire.borrow_mut(), data);
                        if !body.is_end_stream() {
                            continue;
                        }
                        None
                    }
                    Err(frame) => {
                        seldom();
                        frame.into_trailers().ok()
                    }
                },
                Some(Err(error)) => {
                    seldom();
                    tracing::debug!(error = &*error.into(), "a response's body broke off");
                    (self.ended, self.broken) = (true, true);
                    return false;
                }
                None => None,
            };
            self.ended = true;
            self.broken = !self.sending.end(&mut wire.borrow_mut(), trailers.as_ref());
        }
        false
    }
}
