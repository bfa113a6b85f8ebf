//! [`Upload`]: a request on its way to the upstream.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use tokio::io::AsyncWrite;

use super::encode::{Encoded, Framing, last_chunk};
use crate::hint::seldom;
use crate::net::spare;
use crate::upstream::body::RequestBody;
use crate::upstream::connector::UpstreamStream;
use crate::upstream::error::{ClientFault, UpstreamError};

/// What is gathered of a body for one write, in bytes and in pieces.
const MAX_BATCH: usize = 64 * 1024;
const MAX_PIECES: usize = 16;

/// Writes a head and the body behind it. As much of the body as is there goes out together, the
/// start of it in the same write as the head.
pub(super) struct Upload {
    /// The head, later the line of a chunk's size; goes out ahead of the content.
    line: Vec<u8>,
    /// Bytes of `line` that have gone out.
    line_at: usize,
    /// `None` where there is none.
    content: Option<Box<Content>>,
    /// Bytes that have gone out.
    written: u64,
    is_done: bool,
}

struct Content {
    /// What was taken of the body, and its framing.
    pieces: VecDeque<Bytes>,
    /// `None` as soon as all of it was taken.
    body: Option<RequestBody>,
    framing: Framing,
}

/// Why a request cannot be sent to its end.
#[derive(Debug)]
pub(super) enum Fault {
    Client(ClientFault),
    /// The client sends more or less than it announced.
    Length,
    Upstream(io::Error),
}

impl Upload {
    pub(super) fn new(encoded: Encoded, body: RequestBody) -> Self {
        let content = match encoded.framing {
            Framing::Empty | Framing::Length(0) => None,
            framing => Some(Box::new(Content { pieces: VecDeque::new(), body: Some(body), framing })),
        };
        Self { line: encoded.bytes, line_at: 0, content, written: 0, is_done: false }
    }

    /// All of it has gone out.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Nothing waits for the upstream to take it.
    pub(super) fn is_all_written(&self) -> bool {
        self.line_at == self.line.len()
            && self.content.as_ref().is_none_or(|content| content.pieces.is_empty())
    }

    /// Writes on as far as the stream and the client allow; ready when all has gone out.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        stream: &mut UpstreamStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        while !self.is_done {
            // The head waits for no body.
            let gathered = self.gather(cx)?;
            while !self.is_all_written() {
                ready!(self.write(stream, cx)).map_err(Fault::Upstream)?;
            }
            let goes_on = self.content.as_ref().is_some_and(|content| content.body.is_some());
            if !goes_on || gathered.is_pending() {
                // What a TLS session holds back goes out with this.
                ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(Fault::Upstream)?;
            }
            if goes_on {
                ready!(gathered);
                continue;
            }
            spare::give(std::mem::take(&mut self.line));
            self.line_at = 0;
            self.is_done = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes of the body what is there, where the last of it has gone out; pending where the
    /// client has sent nothing.
    #[inline(always)]
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.content.is_none() { Poll::Ready(Ok(())) } else { self.gather_content(cx) }
    }

    #[inline(never)]
    fn gather_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(Content { pieces, body: Some(body), .. }) = self.content.as_deref_mut() else {
            return Poll::Ready(Ok(()));
        };
        let is_head = self.written == 0;
        if !pieces.is_empty() || (!is_head && self.line_at < self.line.len()) {
            return Poll::Ready(Ok(()));
        }
        let (mut length, mut ended, mut trailers) = (0, false, None);
        while !ended && length < MAX_BATCH && pieces.len() < MAX_PIECES {
            if body.is_end_stream() {
                ended = true;
                break;
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => ended = true,
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(Fault::Client(fault))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        length += data.len();
                        pieces.push_back(data);
                    }
                    Err(frame) => {
                        trailers = frame.into_trailers().ok();
                        ended = true;
                    }
                },
            }
        }
        if length == 0 && !ended {
            return Poll::Pending;
        }
        self.frame(length, ended, trailers)?;
        Poll::Ready(Ok(()))
    }

    /// Puts the framing around what was gathered.
    fn frame(&mut self, length: usize, mut ended: bool, trailers: Option<HeaderMap>) -> Result<(), Fault> {
        let Some(content) = self.content.as_deref_mut() else { return Ok(()) };
        match &mut content.framing {
            Framing::Empty => {}
            Framing::Length(left) => {
                *left = left.checked_sub(length as u64).ok_or(Fault::Length)?;
                if ended && *left > 0 {
                    return Err(Fault::Length);
                }
                ended |= *left == 0;
            }
            Framing::Chunked => {
                if self.line_at == self.line.len() {
                    self.line.clear();
                    self.line_at = 0;
                }
                if length > 0 {
                    // A `Vec` takes all that is written to it.
                    let _ = write!(self.line, "{length:x}\r\n");
                    content.pieces.push_back(Bytes::from_static(b"\r\n"));
                }
                if ended {
                    let mut last = Vec::new();
                    last_chunk(trailers.as_ref(), &mut last);
                    content.pieces.push_back(last.into());
                }
            }
        }
        if ended {
            content.body = None;
        }
        Ok(())
    }

    #[inline(always)]
    fn write(&mut self, stream: &mut UpstreamStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = &self.line[self.line_at..];
        let pieces = self.content.as_deref_mut().map(|content| &mut content.pieces);
        let written = match pieces.filter(|pieces| !pieces.is_empty()) {
            None => ready!(Pin::new(stream).poll_write(cx, line))?,
            Some(pieces) => ready!(poll_write_with(line, pieces, stream, cx))?,
        };
        if written == 0 {
            seldom();
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.line_at += written.min(line.len());
        self.written += written as u64;
        Poll::Ready(Ok(()))
    }
}

/// Writes of `line` and the pieces behind it, and takes what was written off the latter; the number
/// of bytes.
#[inline(never)]
fn poll_write_with(
    line: &[u8],
    pieces: &mut VecDeque<Bytes>,
    stream: &mut UpstreamStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); MAX_PIECES + 3];
    let all = std::iter::once(line).filter(|line| !line.is_empty());
    let all = all.chain(pieces.iter().map(|piece| &piece[..]));
    let count = slices.iter_mut().zip(all).map(|(slice, part)| *slice = IoSlice::new(part)).count();
    let written = ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..count]))?;
    let mut of_pieces = written.saturating_sub(line.len());
    while let Some(piece) = pieces.front_mut().filter(|_| of_pieces > 0) {
        let of_piece = of_pieces.min(piece.len());
        piece.advance(of_piece);
        of_pieces -= of_piece;
        if piece.is_empty() {
            pieces.pop_front();
        }
    }
    Poll::Ready(Ok(written))
}

impl Fault {
    pub(super) fn into_error(self, to: String) -> UpstreamError {
        match self {
            Self::Client(fault) => UpstreamError::Client(fault),
            Self::Length => UpstreamError::Request("its body has not the length that it announces"),
            Self::Upstream(source) => UpstreamError::Closed { to, source: source.into() },
        }
    }
}
