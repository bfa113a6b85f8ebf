//! [`Gate`]: the stream between a client and hyper, which no request head passes unless it is
//! strictly valid.
//!
//! hyper's server is lenient where a proxy must not be: of `Content-Length` and
//! `Transfer-Encoding` it drops one and goes on, it takes a bare LF for a line's end, it decodes
//! a list of transfer codings. What two servers read differently is how requests are smuggled.
//! So the gate reads along, knows where each message ends (RFC 9112 §6), and withholds a head
//! until it is complete and judged. The bytes that pass are the bytes that came; nothing is
//! repaired.
//!
//! In place of a bad head hyper is shown a stand-in that makes it call the service, which is told
//! of the [`Refusal`] and answers it as it answers everything: after the responses that are still
//! under way, and with `Connection: close`.
//!
//! The gate also keeps the time of slow heads and idle connections, sends interim responses that
//! hyper cannot, withholds what follows an upgrade request until that is answered, and lingers on
//! close, so that an answer reaches a client which is still sending.

mod chunked;
mod head;
mod measure;
mod shared;
#[cfg(test)]
mod tests;
mod verdict;
mod write;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use self::chunked::Chunked;
use self::head::Scanner;
use self::write::Linger;
use super::patience::Patience;
use super::timer::Deadline;
use super::transport::Transport;

pub use self::head::Refusal;
pub use self::measure::{Measured, measure_chunked, measure_head};
pub(crate) use self::shared::{Shared, interim_head};

/// Idle for this long, a connection gives its buffers back.
const PARK_AFTER: Duration = Duration::from_millis(250);
/// What is held back behind an upgrade request, in bytes.
const MAX_EARLY: usize = 64 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";
const HEAD_STAND_IN: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";

/// What a client begins its connection with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Http1,
    /// The connection preface of HTTP/2 (RFC 9113 §3.4).
    Http2,
    /// Nothing came: it closed, or the time was up.
    Nothing,
}

/// How the client's bytes went wrong inside a body; the source of the error that a service gets
/// from reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body's chunked coding is broken: {0}")]
pub struct BadChunk(pub &'static str);

/// See the [module](self).
pub(crate) struct Gate {
    io: Transport,
    state: State,
    scanner: Scanner,
    /// Bytes that came but were not passed at once: `held[..released]` may go on, the rest waits.
    held: Vec<u8>,
    taken: usize,
    released: usize,
    /// Request heads that have passed.
    passed: u32,
    deadline: Deadline,
    /// `deadline` is that of a head which has begun.
    head_timed: bool,
    write_deadline: Deadline,
    linger: Option<Linger>,
    /// Something was written since the last flush that went through.
    dirty: bool,
    shared: Arc<Shared>,
    patience: Patience,
}

enum State {
    /// Between two messages, or inside a head.
    Head,
    Body {
        left: Body,
        upgrade: bool,
    },
    /// The request with this index asked for another protocol and has not been answered.
    Upgrade(u32),
    /// What passes is not HTTP/1.
    Opaque,
    /// A head was refused; the stand-in is the last that passes.
    Refused,
    /// A body is broken.
    Broken(BadChunk),
}

enum Body {
    Length(u64),
    Chunked(Chunked),
}

impl Gate {
    #[cfg(test)]
    pub(crate) fn new(io: Transport, shared: Arc<Shared>) -> Self {
        Self::with(io, shared, Patience::default())
    }

    pub(crate) fn with(io: Transport, shared: Arc<Shared>, patience: Patience) -> Self {
        Self {
            io,
            state: State::Head,
            scanner: Scanner::default(),
            held: Vec::new(),
            taken: 0,
            released: 0,
            passed: 0,
            deadline: Deadline::default(),
            head_timed: false,
            write_deadline: Deadline::default(),
            linger: None,
            dirty: false,
            shared,
            patience,
        }
    }

    /// Lets everything pass, as HTTP/2 needs it.
    pub(crate) fn into_opaque(mut self) -> Self {
        self.state = State::Opaque;
        self.deadline.clear();
        self
    }

    /// See [`Transport::abort`].
    pub(crate) fn abort(&self) {
        self.io.abort();
    }

    /// Waits, without a buffer of size, for the first bytes of the next message.
    pub(crate) fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Opening> {
        loop {
            let known = self.held.len().min(PREFACE.len());
            if known > 0 && self.held[..known] != PREFACE[..known] {
                return Poll::Ready(Opening::Http1);
            }
            if known == PREFACE.len() {
                let first = self.passed == 0;
                return Poll::Ready(if first { Opening::Http2 } else { Opening::Http1 });
            }
            let mut space = [0; 1024];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    if !self.head_timed {
                        self.head_timed = true;
                        self.deadline.set(self.patience.head);
                    }
                    self.held.extend_from_slice(buf.filled());
                }
                Poll::Ready(_) => return Poll::Ready(Opening::Nothing),
                Poll::Pending => {
                    if !self.deadline.is_set() {
                        self.deadline.set(self.patience.idle);
                    }
                    ready!(self.deadline.poll_passed(cx));
                    return Poll::Ready(Opening::Nothing);
                }
            }
        }
    }

    /// Puts the idle deadline back, when buffers have been given up for lack of traffic.
    pub(crate) fn park(&mut self) {
        self.held = Vec::new();
        self.scanner = Scanner::default();
        self.head_timed = false;
        self.deadline.set(self.patience.idle.saturating_sub(PARK_AFTER));
    }

    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let here = (self.released - self.taken).min(buf.remaining());
        buf.put_slice(&self.held[self.taken..self.taken + here]);
        self.taken += here;
        if self.taken == self.released {
            self.held.drain(..self.taken);
            self.taken = 0;
            self.released = 0;
            if self.held.is_empty() && self.held.capacity() > PREFACE.len() * 64 {
                self.held = Vec::new();
            }
        }
    }

    /// Nothing can be read now: keeps the time.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.state, State::Head) {
            return Poll::Pending;
        }
        let begun = self.scanner.has_begun();
        if !begun && self.shared.is_busy() {
            self.deadline.clear();
            return Poll::Pending;
        }
        if begun && !self.head_timed {
            self.head_timed = true;
            self.deadline.set(self.patience.head);
        } else if !self.deadline.is_set() {
            self.deadline.set(PARK_AFTER);
        }
        ready!(self.deadline.poll_passed(cx));
        if begun {
            let head_method = self.held.starts_with(b"HEAD ");
            self.refuse(Refusal::Timeout);
            self.hold_stand_in(head_method);
            return Poll::Ready(Ok(()));
        }
        self.shared.ask_to_park();
        Poll::Pending
    }

    /// Reads behind an upgrade request, so that the client's hanging up is seen; `Ready` at the
    /// end of the stream or when the state has changed.
    fn poll_early(&mut self, cx: &mut Context<'_>, index: u32) -> Poll<io::Result<bool>> {
        loop {
            if self.shared.has_switched() {
                self.state = State::Opaque;
                self.released = self.held.len();
                return Poll::Ready(Ok(true));
            }
            if self.shared.has_answered(index) {
                self.state = State::Head;
                return Poll::Ready(Ok(true));
            }
            if self.held.len() >= MAX_EARLY {
                return Poll::Pending;
            }
            let mut space = [0; 1024];
            let mut early = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut early))?;
            if early.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            self.held.extend_from_slice(early.filled());
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if gate.taken < gate.released {
                gate.hand_out(buf);
                return Poll::Ready(Ok(()));
            }
            match gate.state {
                State::Opaque if !gate.held.is_empty() => {
                    gate.released = gate.held.len();
                    continue;
                }
                State::Opaque => return Pin::new(&mut gate.io).poll_read(cx, buf),
                State::Upgrade(index) => match ready!(gate.poll_early(cx, index))? {
                    true => continue,
                    false => return Poll::Ready(Ok(())),
                },
                State::Refused => return Poll::Pending,
                State::Broken(bad) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, bad)));
                }
                State::Head | State::Body { .. } => {}
            }
            if gate.judge_held() {
                continue;
            }
            // Behind an upgrade request that has just come out of what was held.
            if matches!(gate.state, State::Upgrade(_)) {
                continue;
            }
            let before = buf.filled().len();
            match Pin::new(&mut gate.io).poll_read(cx, buf) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    ready!(gate.poll_waiting(cx))?;
                    continue;
                }
            }
            let fresh = &buf.filled()[before..];
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !gate.held.is_empty() {
                // The head that is held goes on; it is judged as one.
                gate.held.extend_from_slice(fresh);
                buf.set_filled(before);
                continue;
            }
            let passes = gate.judge(fresh);
            let rest = &fresh[passes..];
            match gate.state {
                State::Refused => gate.hold_stand_in(rest.starts_with(b"HEAD ")),
                State::Broken(_) => {}
                _ if rest.is_empty() => {}
                _ => gate.held.extend_from_slice(rest),
            }
            buf.set_filled(before + passes);
            if passes > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
