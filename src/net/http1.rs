//! HTTP/1 to clients (RFC 9112): strict in what it reads, and nothing between a request and the
//! handler but its parsing.
//!
//! What two servers read differently is how requests are smuggled: two framings at once, a bare
//! LF for a line's end, a list of transfer codings. A head passes whole and strictly valid or not
//! at all, and nothing is repaired. In place of a bad one the handler is called with a stand-in
//! and told of the [`Refusal`]; it answers that as it answers everything, and the connection
//! closes behind it.
//!
//! The module also keeps the time of slow heads and idle connections, sends interim responses,
//! withholds what follows an upgrade request until that is answered, and lingers on close, so
//! that an answer reaches a client which is still sending.

mod body;
mod encode;
mod head;
mod interim;
mod linger;
mod measure;
mod parse;
mod refusal;
mod respond;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Method;
use http_body::Body;
use tokio::sync::oneshot;

use self::encode::Asked;
use self::head::{Framing, Head, Scanner};
use self::wire::{Reading, Wire};
use super::chunked::{Blanks, Chunked};
use super::incoming::Incoming;
use super::patience::Patience;
use super::serve::{Call, Interim, Peer, Turns};
use super::spare;
use super::timer::Timer;
use super::transport::Transport;
use super::upgrade::{self, OnUpgrade, Upgraded};
use crate::hint::seldom;
use crate::message::{Request, RequestHead, Response};

pub(super) use self::body::Http1Body;
pub(super) use self::interim::Waiting;
pub use self::measure::{Measured, measure_chunked, measure_head};
pub use self::refusal::Refusal;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the client's bytes went wrong inside a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body's chunked coding is broken: {0}")]
pub struct BadChunk(pub &'static str);

/// A client's connection.
pub(super) struct Connection {
    wire: Rc<RefCell<Wire>>,
    peer: Rc<Peer>,
    waiting: Rc<Waiting>,
    /// Requests that have come.
    count: u32,
    scanner: Scanner,
    /// For what is waited for between two answers, and lent to each for what that waits for.
    timer: Timer,
    /// `timer` is that of a head which has begun.
    head_timed: bool,
    /// The next request was not there when it was first looked for.
    waits: bool,
    patience: Patience,
}

/// How serving HTTP/1 ended.
pub(super) enum End {
    /// The connection is to be dropped.
    Closed,
    /// The client speaks HTTP/2 from the start: the stream, and what was read of it.
    Http2(Transport, Bytes),
}

/// What the client sends next.
enum Next {
    Request(Box<RequestHead>, Head),
    /// `true`: to a HEAD request, as far as can be seen.
    Refused(Refusal, bool),
    Http2,
    /// It closed, or the time was up.
    Nothing,
}

impl Connection {
    pub(super) fn new(io: Transport, peer: Rc<Peer>, patience: Patience) -> Self {
        Self {
            wire: Rc::new(RefCell::new(Wire::new(io, patience))),
            peer,
            waiting: Rc::default(),
            count: 0,
            scanner: Scanner::default(),
            timer: Timer::default(),
            head_timed: false,
            waits: false,
            patience,
        }
    }

    /// Serves one request after the other.
    pub(super) async fn serve<F, R, B, E>(mut self, handler: &F, turns: &mut Turns) -> End
    where
        F: Fn(Request<Incoming>, Call) -> R,
        R: Future<Output = Result<Response<B>, E>>,
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        poll_fn(|cx| {
            self.waiting.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            let next = poll_fn(|cx| {
                if turns.poll_drain(cx) {
                    return Poll::Ready(Next::Nothing);
                }
                self.poll_next(cx)
            });
            let (request, call, asked, switch) = match next.await {
                Next::Request(request, head) => self.request(request, head),
                Next::Refused(refusal, is_head) => self.stand_in(refusal, is_head),
                Next::Http2 => {
                    seldom();
                    let (io, early) = self.wire.borrow_mut().take();
                    return End::Http2(io, early);
                }
                Next::Nothing => {
                    seldom();
                    return End::Closed;
                }
            };
            let refused = call.refusal.is_some();
            let answer = {
                let answer = std::pin::pin!(handler(request, call));
                self.answer(answer, turns, switch.is_some()).await
            };
            let Some(response) = answer else {
                seldom();
                return End::Closed;
            };
            let closing = refused || turns.is_draining();
            let stays = self.respond(response, asked, closing, switch, turns).await;
            // Whatever the answer was still waiting for.
            self.timer.clear();
            self.count = self.count.wrapping_add(1);
            if !stays {
                return End::Closed;
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut wire = self.wire.borrow_mut();
        loop {
            if wire.input.has_remaining()
                && let Some(next) = judge(&mut wire, &mut self.scanner, self.count == 0)
            {
                self.timer.clear();
                self.head_timed = false;
                self.waits = false;
                return Poll::Ready(next);
            }
            // Right behind a response there is nearly always nothing; later the task is woken because
            // there is something.
            let may_read = std::mem::replace(&mut self.waits, true) || wire.is_readable(cx);
            match if may_read { wire.poll_fill(cx) } else { Poll::Pending } {
                Poll::Ready(Ok(count)) if count > 0 => continue,
                Poll::Ready(_) => {
                    seldom();
                    return Poll::Ready(Next::Nothing);
                }
                Poll::Pending => {}
            }
            // What may still become the preface of HTTP/2 has begun, too, and was not scanned.
            let begun = self.scanner.has_begun() || (self.count == 0 && wire.input.has_remaining());
            if begun && !self.head_timed {
                seldom();
                self.head_timed = true;
                self.timer.set(self.patience.head);
            } else if !self.timer.is_set() {
                self.timer.set(self.patience.idle);
            }
            ready!(self.timer.poll_passed(cx));
            seldom();
            if !begun {
                return Poll::Ready(Next::Nothing);
            }
            return Poll::Ready(Next::Refused(Refusal::Timeout, wire.input.starts_with(b"HEAD ")));
        }
    }

    #[inline(always)]
    fn request(&mut self, request: Box<RequestHead>, head: Head) -> Started {
        let asked = Asked::new(&request.method, &head);
        let mut wire = self.wire.borrow_mut();
        wire.expects_continue = head.expects_continue;
        wire.reading = match head.body {
            Framing::Length(0) => Reading::Done,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked(Box::new(Chunked::new(Blanks::Refused))),
        };
        let has_body = !matches!(wire.reading, Reading::Done);
        drop(wire);
        let body = if has_body { Incoming::http1(Http1Body::new(&self.wire)) } else { Incoming::empty() };
        let (upgrade, switch) = match head.upgrade.then(upgrade::promise) {
            Some((sender, upgrade)) => (upgrade, Some(sender)),
            None => (OnUpgrade::never(), None),
        };
        let interim = match head.http_10 {
            true => Interim::none(),
            false => Interim::to(self.waiting.clone(), self.count),
        };
        let timer = self.timer.clone();
        let call = Call { peer: self.peer.clone(), refusal: None, interim, upgrade, timer };
        (Request { head: request, body }, call, asked, switch)
    }

    /// Something to call the handler with where there is no request.
    #[cold]
    #[inline(never)]
    fn stand_in(&self, refusal: Refusal, is_head: bool) -> Started {
        let method = if is_head { Method::HEAD } else { Method::GET };
        let head = RequestHead { method, ..RequestHead::default() };
        let request = Request { head: Box::new(head), body: Incoming::empty() };
        let call = Call {
            peer: self.peer.clone(),
            refusal: Some(refusal),
            interim: Interim::none(),
            upgrade: OnUpgrade::never(),
            timer: self.timer.clone(),
        };
        (request, call, Asked::refused(is_head), None)
    }

    /// Waits for the handler; `None` where the client has hung up, or its time is over.
    async fn answer<R, B, E>(&mut self, mut answer: R, turns: &mut Turns, switch: bool) -> Option<Response<B>>
    where
        R: Future<Output = Result<Response<B>, E>> + Unpin,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        poll_fn(|cx| {
            let outcome = std::pin::Pin::new(&mut answer).poll(cx);
            if let Poll::Ready(outcome) = outcome {
                return Poll::Ready(outcome.map_err(|error| log(&*error.into())).ok());
            }
            if turns.poll_cut(cx) {
                seldom();
                return Poll::Ready(None);
            }
            let mut wire = self.wire.borrow_mut();
            if let Some(interim) = self.waiting.take() {
                seldom();
                wire.push_small(&interim);
            }
            if wire.waiting_to_go() > 0 && wire.poll_write_all(cx).is_ready() {
                seldom();
                let _ = wire.poll_flush(cx);
            }
            wire.poll_gone(cx, switch).map(|()| None)
        })
        .await
    }
}

type Started = (Request<Incoming>, Call, Asked, Option<oneshot::Sender<Upgraded>>);

/// What stands at the start of the input; `None` where more is needed to know.
fn judge(wire: &mut Wire, scanner: &mut Scanner, first: bool) -> Option<Next> {
    if first {
        seldom();
        let known = wire.input.len().min(PREFACE.len());
        if wire.input[..known] == PREFACE[..known] {
            return (known == PREFACE.len()).then_some(Next::Http2);
        }
    }
    let head = match scanner.scan(&wire.input) {
        Ok(head) => head?,
        Err(refusal) => return Some(Next::Refused(refusal, wire.input.starts_with(b"HEAD "))),
    };
    let bytes = if head.len == wire.input.len() {
        std::mem::take(&mut wire.input)
    } else {
        // By itself, so that what keeps the head does not keep a body.
        let bytes = spare::copy(&wire.input[..head.len]);
        wire.input.advance(head.len);
        bytes
    };
    let is_head = bytes.starts_with(b"HEAD ");
    let parsed = parse::parse(bytes, &head, scanner);
    scanner.reset();
    Some(match parsed {
        Ok(request) => Next::Request(request, head),
        Err(refusal) => Next::Refused(refusal, is_head),
    })
}

#[cold]
#[inline(never)]
fn log(error: &(dyn std::error::Error + 'static)) {
    tracing::debug!(error, "a handler failed");
}
