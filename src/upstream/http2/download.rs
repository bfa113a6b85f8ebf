//! A response's body as it comes over HTTP/2.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Exchange;
use super::broken::Broken;
use super::upload::Upload;
use crate::net::Timer;
use crate::upstream::body::BODY_TIMEOUT;
use crate::upstream::response::ResponseBodyError;

/// The body of a response; dropped early, it resets the stream.
pub(crate) struct Http2Body {
    exchange: Exchange,
    /// What is left of the announced length.
    left: Option<u64>,
    timeout: Duration,
    timer: Timer,
    _upload: Option<Upload>,
}

impl Http2Body {
    pub(super) fn new(exchange: Exchange, left: Option<u64>, upload: Option<Upload>, timer: Timer) -> Self {
        Self { exchange, left, timeout: BODY_TIMEOUT, timer, _upload: upload }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let outcome = self.poll_stream(cx);
        if let Poll::Ready(outcome) = outcome {
            self.timer.clear();
            return Poll::Ready(outcome.transpose().map_err(ResponseBodyError::Http2).transpose());
        }
        if !self.timer.is_set() {
            self.timer.set(self.timeout);
        }
        ready!(self.timer.poll_passed(cx));
        Poll::Ready(Some(Err(ResponseBodyError::Stalled)))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let id = self.exchange.id;
        if let Some(data) = ready!(self.exchange.with(|session| session.poll_data(id, cx))) {
            let data = data?;
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = self.exchange.with(|session| session.take_trailers(id));
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.exchange.with(|session| session.is_taken(self.exchange.id))
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
