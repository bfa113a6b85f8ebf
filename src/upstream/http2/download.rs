//! A response's body as it comes over HTTP/2.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Frame, SizeHint};

use super::Active;
use super::upload::Upload;
use crate::upstream::body::BODY_TIMEOUT;
use crate::upstream::response::ResponseBodyError;

/// The body of a response; dropped early, it resets the stream.
pub(crate) struct Http2Body {
    stream: RecvStream,
    /// What is left of the announced length.
    left: Option<u64>,
    timeout: Duration,
    data_ended: bool,
    _upload: Option<Upload>,
    active: Active,
}

impl Http2Body {
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        upload: Option<Upload>,
        active: Active,
    ) -> Self {
        Self { stream, left: length, timeout: BODY_TIMEOUT, data_ended: false, _upload: upload, active }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let outcome = self.poll_stream(cx);
        if outcome.is_ready() {
            self.active.deadline.clear();
            return outcome;
        }
        let deadline = &mut self.active.deadline;
        if !deadline.is_set() {
            deadline.set(self.timeout);
        }
        ready!(deadline.poll_passed(cx));
        Poll::Ready(Some(Err(ResponseBodyError::Stalled)))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The client has room for it, so the upstream may send as much again.
                    if let Err(error) = self.stream.flow_control().release_capacity(data.len()) {
                        return Poll::Ready(Some(Err(ResponseBodyError::Http2(error))));
                    }
                    if data.is_empty() {
                        continue;
                    }
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // The whole answer is there; the upstream only did not want the rest of the
                // request (RFC 9113 §8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) && error.is_reset() => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(ResponseBodyError::Http2(error)))),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(ResponseBodyError::Http2(error)))),
        }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
