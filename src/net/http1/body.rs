//! [`Http1Body`]: the body of a request, read from the connection as it is wanted.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::BadChunk;
use super::wire::{Reading, Wire};
use crate::net::incoming::BodyError;

/// Content that is given out at once, in bytes.
const MAX_PIECE: usize = 64 * 1024;

/// See the [module](self).
pub(in crate::net) struct Http1Body {
    wire: Rc<RefCell<Wire>>,
    /// It has been read to its end, and the wire serves others.
    ended: bool,
}

impl Http1Body {
    /// The body whose reading the wire is in.
    pub(super) fn new(wire: &Rc<RefCell<Wire>>) -> Self {
        wire.borrow_mut().owned = true;
        Self { wire: wire.clone(), ended: false }
    }

    pub(in crate::net) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut wire = self.wire.borrow_mut();
        if wire.expects_continue {
            wire.expects_continue = false;
            wire.push_small(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        // Where it does not go out at once, it goes ahead of the response, at the latest.
        if wire.waiting_to_go() > 0 && wire.poll_write_all(cx).is_ready() {
            let _ = wire.poll_flush(cx);
        }
        let frame = ready!(wire.poll_body(cx)).transpose();
        if matches!(wire.reading, Reading::Done) {
            self.ended = true;
            wire.release();
        }
        Poll::Ready(frame)
    }

    pub(in crate::net) fn is_end_stream(&self) -> bool {
        self.ended
    }

    pub(in crate::net) fn size_hint(&self) -> SizeHint {
        match self.wire.borrow().reading {
            _ if self.ended => SizeHint::with_exact(0),
            Reading::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        if !self.ended {
            self.wire.borrow_mut().release();
        }
    }
}

impl Wire {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            match &mut self.reading {
                Reading::Done => return Poll::Ready(Ok(None)),
                Reading::Broken(bad) => return Poll::Ready(Err(BodyError::BadChunk(*bad))),
                Reading::Gone => return Poll::Ready(Err(BodyError::Gone)),
                Reading::Length(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(MAX_PIECE);
                    let data = if self.input.has_remaining() {
                        let here = most.min(self.input.len());
                        self.input.split_to(here)
                    } else {
                        match ready!(self.poll_content(cx, most)) {
                            Ok(data) if !data.is_empty() => data,
                            outcome => return Poll::Ready(Err(self.broke_off(outcome.err().as_ref()))),
                        }
                    };
                    self.count(data.len());
                    return Poll::Ready(Ok(Some(Frame::data(data))));
                }
                Reading::Chunked(chunked) => {
                    match chunked.decode(&mut self.input) {
                        Ok(Some(data)) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                        Ok(None) => {}
                        Err(fault) => {
                            self.reading = Reading::Broken(BadChunk(fault));
                            continue;
                        }
                    }
                    if chunked.is_end() {
                        let trailers = chunked.take_trailers();
                        self.reading = Reading::Done;
                        return Poll::Ready(Ok(trailers.map(Frame::trailers)));
                    }
                    match ready!(self.poll_fill(cx)) {
                        Ok(count) if count > 0 => {}
                        outcome => return Poll::Ready(Err(self.broke_off(outcome.err().as_ref()))),
                    }
                }
            }
        }
    }

    fn count(&mut self, read: usize) {
        if let Reading::Length(left) = &mut self.reading {
            // No more is read than is left.
            *left -= read as u64;
            if *left == 0 {
                self.reading = Reading::Done;
            }
        }
    }

    fn broke_off(&mut self, error: Option<&io::Error>) -> BodyError {
        tracing::debug!(?error, "a client hung up in the middle of its request");
        self.reading = Reading::Gone;
        BodyError::Gone
    }
}
