//! [`Outbox`]: what waits to be written to a connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::frame::{Code, HEAD, Head, kind};

/// Content up to this size is copied to what is ahead of it, so that one piece is written.
const COPIED: usize = 2 * 1024;
/// Pieces that one write takes at most.
const PIECES: usize = 64;
/// Memory that is kept for the next frames.
const KEPT: usize = 16 * 1024;

/// Frames of all streams, in the order in which they go out. Small ones stand side by side, so
/// that the requests of one turn of the event loop make one TLS record and one system call.
#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Goes out behind `pieces`.
    tail: BytesMut,
    /// Bytes of `pieces`.
    queued: usize,
    /// Bytes that were ever put in.
    total: u64,
    /// `total` when a stream was last offered all that there was.
    offered: u64,
    /// Written, and perhaps not flushed.
    dirty: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty() && !self.dirty
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// Where the next byte will stand among all that there ever were.
    pub(super) fn position(&self) -> u64 {
        self.total
    }

    /// Whether a write may have taken what stands at `position`.
    pub(super) fn was_offered(&self, position: u64) -> bool {
        position < self.offered
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.tail.reserve(HEAD + payload.len());
        self.bytes(&Head { length: payload.len(), kind, flags, stream }.bytes());
        self.bytes(payload);
    }

    pub(super) fn reset(&mut self, stream: u32, code: Code) {
        self.frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    pub(super) fn window_update(&mut self, stream: u32, by: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    pub(super) fn data(&mut self, stream: u32, flags: u8, data: Bytes) {
        if data.len() <= COPIED {
            return self.frame(kind::DATA, flags, stream, &data);
        }
        self.bytes(&Head { length: data.len(), kind: kind::DATA, flags, stream }.bytes());
        self.total += data.len() as u64;
        self.queued += self.tail.len() + data.len();
        self.pieces.push_back(self.tail.split().freeze());
        self.pieces.push_back(data);
    }

    /// Writes and flushes all that waits.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.waiting() > 0 {
            self.offered = self.total;
            let written = ready!(self.poll_some(stream, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.dirty = true;
            self.written(written);
        }
        if self.dirty {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_some(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.pieces.is_empty() {
            return Pin::new(stream).poll_write(cx, &self.tail);
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let all = self.pieces.iter().map(|piece| &piece[..]).chain(std::iter::once(&self.tail[..]));
        let count = slices.iter_mut().zip(all).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        Pin::new(stream).poll_write_vectored(cx, &slices[..count])
    }

    fn written(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut().filter(|_| count > 0) {
            let here = count.min(piece.len());
            piece.advance(here);
            self.queued -= here;
            count -= here;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        if count < self.tail.len() {
            self.tail.advance(count);
        } else if self.tail.capacity() > KEPT {
            self.tail = BytesMut::new();
        } else {
            self.tail.clear();
        }
    }

    /// Throws away what waits: the connection is of no more use.
    pub(super) fn discard(&mut self) {
        *self = Self { total: self.total, offered: self.offered, ..Self::default() };
    }

    /// Frees what only a busy connection needs.
    pub(super) fn rest(&mut self) {
        if self.tail.is_empty() {
            self.tail = BytesMut::new();
        }
    }
}
