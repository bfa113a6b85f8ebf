//! [`Wire`]: the bytes of one client's connection, and what is known of them.
//!
//! It is shared by the connection, which reads heads and writes responses, and by the body of the
//! request under way, which may be read from another task. Only one of the two reads at a time:
//! the body for as long as it is there and not at its end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::BadChunk;
use crate::hint::seldom;
use crate::net::chunked::Chunked;
use crate::net::patience::Patience;
use crate::net::spare;
use crate::net::timer::Deadline;
use crate::net::transport::Transport;

/// What one system call may read of a head and what comes with it.
const SCRATCH: usize = 64 * 1024;
/// Bytes behind an upgrade request that are read ahead of its answer.
const MAX_EARLY: usize = 64 * 1024;
/// Content up to this size is copied to the bytes ahead of it, so that one piece is written.
pub(super) const COPIED: usize = 2 * 1024;
/// Pieces that one system call writes.
const PIECES: usize = 64;

thread_local! {
    /// What is read lands here first and is then copied to memory of its own size, so that
    /// connections that wait hold no buffer, and heads no more than they need.
    static SPACE: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// See the [module](self).
pub(super) struct Wire {
    io: Transport,
    /// Bytes that came and have not been looked at.
    pub(super) input: Bytes,
    pub(super) reading: Reading,
    /// The body is in somebody's hands.
    pub(super) owned: bool,
    /// The client waits for a 100 before it sends the body.
    pub(super) expects_continue: bool,
    /// Goes out ahead of `queue`.
    pub(super) out: Vec<u8>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Written, and perhaps not flushed.
    dirty: bool,
    write_deadline: Deadline,
    /// The connection's task, where it has to be told that the body is done with.
    waiting: Option<Waker>,
    patience: Patience,
}

/// What is still to come of the request.
pub(super) enum Reading {
    Done,
    Length(u64),
    Chunked(Box<Chunked>),
    /// Nothing that can be read.
    Broken(BadChunk),
    /// The client has hung up.
    Gone,
}

impl Wire {
    pub(super) fn new(io: Transport, patience: Patience) -> Self {
        Self {
            io,
            input: Bytes::new(),
            reading: Reading::Done,
            owned: false,
            expects_continue: false,
            out: Vec::new(),
            queue: VecDeque::new(),
            queued: 0,
            dirty: false,
            write_deadline: Deadline::default(),
            waiting: None,
            patience,
        }
    }

    /// Reads what there is, to the end of `input`; the number of bytes, 0 at the end.
    #[inline(always)]
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SPACE.with_borrow_mut(|space| {
            let count = ready!(self.io.poll_read_to(cx, space))?;
            spare::append(&mut self.input, &space[..count]);
            Poll::Ready(Ok(count))
        })
    }

    /// See [`Transport::is_readable`].
    pub(super) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        self.io.is_readable(cx)
    }

    /// Reads at most `most` bytes of content, past `input`, which is empty. Empty at the end.
    pub(super) fn poll_content(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let mut content = BytesMut::with_capacity(most.min(SCRATCH));
        ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut content))?;
        Poll::Ready(Ok(content.freeze()))
    }

    /// Ready when the client has hung up while its request is served.
    ///
    /// What it sends meanwhile stays for later, unread where that is possible; behind a request
    /// that may `switch` the protocol, some of it is read, since it may well be sent there.
    #[inline(always)]
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>, switch: bool) -> Poll<()> {
        let is_ahead = !matches!(self.reading, Reading::Done) || !self.input.is_empty();
        if !is_ahead && !self.is_readable(cx) {
            return Poll::Pending;
        }
        self.poll_ahead(cx, switch)
    }

    #[inline(never)]
    fn poll_ahead(&mut self, cx: &mut Context<'_>, switch: bool) -> Poll<()> {
        if !matches!(self.reading, Reading::Done) {
            if self.owned {
                self.waiting = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        loop {
            let ahead = if switch { self.input.len() >= MAX_EARLY } else { !self.input.is_empty() };
            if ahead || !self.is_readable(cx) {
                return Poll::Pending;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// The body has ended, or nobody wants it any more.
    pub(super) fn release(&mut self) {
        self.owned = false;
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Reads over what has come of a body that nobody wants; whether that was all of it.
    pub(super) fn skip_body(&mut self) -> bool {
        if matches!(self.reading, Reading::Done) {
            return true;
        }
        self.skip_rest()
    }

    #[inline(never)]
    fn skip_rest(&mut self) -> bool {
        match &mut self.reading {
            Reading::Done => return true,
            Reading::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                self.input.advance(here);
                // `here` is at most what is left.
                *left -= here as u64;
                if *left > 0 {
                    return false;
                }
            }
            Reading::Chunked(chunked) => {
                while let Ok(Some(_)) = chunked.decode(&mut self.input) {}
                if !chunked.is_end() {
                    return false;
                }
            }
            Reading::Broken(_) | Reading::Gone => return false,
        }
        self.reading = Reading::Done;
        true
    }

    /// Content to be written behind all the rest.
    #[inline(always)]
    pub(super) fn push(&mut self, data: Bytes) {
        if self.queue.is_empty() && data.len() <= COPIED {
            self.out.extend_from_slice(&data);
        } else if !data.is_empty() {
            self.queued += data.len();
            self.queue.push_back(data);
        }
    }

    /// A few bytes to be written behind all the rest.
    pub(super) fn push_small(&mut self, bytes: &[u8]) {
        if self.queue.is_empty() {
            self.out.extend_from_slice(bytes);
        } else {
            self.queued += bytes.len();
            self.queue.push_back(Bytes::copy_from_slice(bytes));
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_to_go(&self) -> usize {
        self.out.len() + self.queued
    }

    /// Writes all that waits; gives up where the client takes nothing for too long.
    #[inline(always)]
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !(self.out.is_empty() && self.queue.is_empty()) {
            let outcome = self.poll_write_some(cx);
            let written = ready!(self.bound(cx, outcome))?;
            if written == 0 {
                seldom();
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.dirty = true;
            self.written(written);
        }
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.queue.is_empty() {
            return Pin::new(&mut self.io).poll_write(cx, &self.out);
        }
        self.poll_write_pieces(cx)
    }

    #[inline(never)]
    fn poll_write_pieces(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        let all = std::iter::once(&self.out[..]).chain(self.queue.iter().map(|piece| &piece[..]));
        for (slot, piece) in pieces.iter_mut().zip(all.filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, &pieces[..count])
    }

    #[inline(always)]
    fn written(&mut self, count: usize) {
        if count < self.out.len() {
            seldom();
            self.out.drain(..count);
            return;
        }
        let of_queue = count - self.out.len();
        // Given back, since an idle connection needs none.
        spare::give(std::mem::take(&mut self.out));
        if of_queue > 0 {
            self.written_of_queue(of_queue);
        }
    }

    #[inline(never)]
    fn written_of_queue(&mut self, mut count: usize) {
        self.queued -= count;
        while count > 0 {
            let Some(piece) = self.queue.front_mut() else { return };
            if piece.len() > count {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.queue.pop_front();
        }
    }

    /// Flushes what was written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.dirty {
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.bound(cx, outcome))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.bound(cx, outcome)
    }

    #[inline(always)]
    fn bound<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_deadline.clear();
            return outcome;
        }
        self.poll_too_long(cx).map(Err)
    }

    /// Ready when the client has taken nothing for too long.
    #[inline(never)]
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.write_deadline.is_set() {
            self.write_deadline.set(self.patience.body);
        }
        ready!(self.write_deadline.poll_passed(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client has read nothing for 60 s"))
    }

    /// Takes the stream away, with what came on it and was not looked at.
    pub(super) fn take(&mut self) -> (Transport, Bytes) {
        let gone = Transport::Other(Box::new(tokio::io::empty()));
        (std::mem::replace(&mut self.io, gone), std::mem::take(&mut self.input))
    }

    /// See [`Transport::abort`].
    pub(super) fn abort(&self) {
        self.io.abort();
    }
}
