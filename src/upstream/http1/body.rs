//! [`Http1Body`]: the body of a response, and the connection that it comes on.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::Http1;
use super::head::{Fault, Framing};
use crate::net::{Blanks, Chunked, Timer};
use crate::upstream::body::BODY_TIMEOUT;
use crate::upstream::pool::Host;
use crate::upstream::response::ResponseBodyError;

/// Where in a body the next byte stands (RFC 9112 §6.3).
pub(super) enum Decoder {
    /// Bytes to come.
    Length(u64),
    Chunked(Box<Chunked>),
    /// To the end of the connection.
    ToClose,
    /// Over, connection included.
    Closed,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::new(Chunked::new(Blanks::Tolerated))),
            Framing::Unstated => Self::ToClose,
        }
    }

    /// Takes a frame off the front of `unread`; `None` where more has to be read first.
    pub(super) fn frame(&mut self, unread: &mut Bytes) -> Result<Option<Frame<Bytes>>, Fault> {
        let data = match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(unread.len());
                // `here` is at most `left`.
                *left -= here as u64;
                unread.split_to(here)
            }
            Self::Chunked(chunked) => match chunked.decode(unread)? {
                Some(data) => data,
                None => return Ok(chunked.take_trailers().map(Frame::trailers)),
            },
            Self::ToClose => std::mem::take(unread),
            Self::Closed => return Ok(None),
        };
        Ok(if data.is_empty() { None } else { Some(Frame::data(data)) })
    }

    /// Reads past the framing behind a frame, so that an end which is here is seen.
    pub(super) fn look_ahead(&mut self, unread: &mut Bytes) -> Result<(), Fault> {
        match self {
            Self::Chunked(chunked) => chunked.skim(unread),
            _ => Ok(()),
        }
    }

    /// Nothing more belongs to the message.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_end(),
            Self::ToClose => false,
            Self::Closed => true,
        }
    }

    /// Nothing more is to be given out.
    pub(super) fn is_end(&self) -> bool {
        self.is_complete() && !matches!(self, Self::Chunked(chunked) if chunked.has_trailers())
    }

    /// The connection has ended: whether the body may.
    pub(super) fn close(&mut self) -> bool {
        let may = matches!(self, Self::ToClose);
        *self = Self::Closed;
        may
    }

    /// What is to come, as far as that is known, in bytes.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(chunked) => chunked.left(),
            Self::ToClose | Self::Closed => None,
        }
    }
}

/// The body of a response, and the connection that it comes on.
pub(in crate::upstream) struct Http1Body {
    decoder: Decoder,
    /// Until the message is complete.
    http1: Option<Box<Http1>>,
    /// Gets the connection back; `None` where it cannot be used again.
    host: Option<Rc<Host>>,
    /// Sends the rest of the request, where the response began before its end.
    upload: Option<JoinHandle<()>>,
    /// Found behind the frame that was given out last.
    fault: Option<Fault>,
    timeout: Duration,
    timer: Timer,
}

impl Http1Body {
    pub(super) fn new(
        decoder: Decoder,
        http1: Box<Http1>,
        host: Option<Rc<Host>>,
        upload: Option<JoinHandle<()>>,
        timer: Timer,
    ) -> Self {
        Self { decoder, http1: Some(http1), host, upload, fault: None, timeout: BODY_TIMEOUT, timer }
    }

    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let outcome = ready!(self.poll_next(cx));
        if matches!(outcome, Some(Err(_))) {
            self.close();
        }
        Poll::Ready(outcome)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(ResponseBodyError::Malformed(fault))));
        }
        loop {
            let Some(http1) = &mut self.http1 else {
                // Trailers may be left, which need no connection.
                let rest = self.decoder.frame(&mut Bytes::new()).ok().flatten();
                return Poll::Ready(rest.map(Ok));
            };
            let unread = &mut http1.wire.unread;
            let frame = self.decoder.frame(unread).map_err(ResponseBodyError::Malformed)?;
            let is_read_on = frame.is_some();
            if is_read_on {
                // What came is given out before it is said that the rest is no good.
                self.fault = self.decoder.look_ahead(unread).err();
                self.timer.clear();
            }
            if self.decoder.is_complete() {
                self.finish();
            }
            if frame.is_some() || self.http1.is_none() {
                return Poll::Ready(frame.map(Ok));
            }
            match ready!(self.poll_read(cx)) {
                Ok(1..) => {}
                Ok(0) if self.decoder.close() => self.finish(),
                Ok(0) => {
                    let early = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Some(Err(ResponseBodyError::Http1(early))));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// The number of bytes that came, 0 at the connection's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ResponseBodyError>> {
        let Some(http1) = &mut self.http1 else { return Poll::Ready(Ok(0)) };
        match http1.wire.poll_body(cx, self.decoder.left()) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map_err(ResponseBodyError::Http1)),
            Poll::Pending => {
                if !self.timer.is_set() {
                    self.timer.set(self.timeout);
                }
                self.timer.poll_passed(cx).map(|()| Err(ResponseBodyError::Stalled))
            }
        }
    }

    pub(in crate::upstream) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.fault.is_none() && self.decoder.is_end()
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match self.decoder {
            Decoder::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    /// The response is complete: the connection goes back if it is fit for another exchange.
    fn finish(&mut self) {
        if let (Some(http1), Some(host)) = (self.http1.take(), self.host.take()) {
            http1.give_back(&host);
        }
        self.abort_upload();
    }

    fn close(&mut self) {
        self.decoder = Decoder::Closed;
        self.http1 = None;
        self.abort_upload();
    }

    fn abort_upload(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort();
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        self.abort_upload();
    }
}
