//! The seam between hyper's service and the handler: it counts requests for the gate.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::{Call, Interim, Peer};
use crate::net::gate::Shared;

#[derive(Clone)]
pub(crate) struct Adapter<F> {
    handler: F,
    peer: Arc<Peer>,
    pub(crate) shared: Arc<Shared>,
    http2: bool,
}

impl<F> Adapter<F> {
    pub(crate) fn new(handler: F, peer: Arc<Peer>, shared: Arc<Shared>) -> Self {
        Self { handler, peer, shared, http2: false }
    }

    pub(crate) fn on_http2(self) -> Self {
        Self { http2: true, ..self }
    }
}

impl<F, R, B, E> hyper::service::Service<Request<Incoming>> for Adapter<F>
where
    F: Fn(Request<Incoming>, Call) -> R,
    R: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Tracked<B>>;
    type Error = E;
    type Future = Answer<R>;

    fn call(&self, request: Request<Incoming>) -> Answer<R> {
        let (index, refusal) = self.shared.call();
        if request.version() < Version::HTTP_11 {
            self.shared.note_close_delimits();
        }
        let under_way = UnderWay { shared: self.shared.clone(), answered: false };
        let interim = if self.http2 || request.version() != Version::HTTP_11 || refusal.is_some() {
            Interim::none()
        } else {
            Interim(Some((self.shared.clone(), index)))
        };
        let connects = !self.http2 && *request.method() == Method::CONNECT;
        let call = Call { peer: self.peer.clone(), refusal, interim };
        Answer { handler: (self.handler)(request, call), under_way: Some(under_way), connects }
    }
}

pin_project! {
    /// The handler's work.
    pub(crate) struct Answer<R> {
        #[pin]
        handler: R,
        under_way: Option<UnderWay>,
        connects: bool,
    }
}

impl<R, B, E> Future for Answer<R>
where
    R: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Tracked<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.handler.poll(cx));
        let mut under_way = this.under_way.take();
        Poll::Ready(outcome.map(|response| {
            let status = response.status();
            let switches =
                status == StatusCode::SWITCHING_PROTOCOLS || (*this.connects && status.is_success());
            if let Some(under_way) = &mut under_way {
                under_way.answer(switches);
            }
            response.map(|body| Tracked { body, under_way, failure: None })
        }))
    }
}

/// Counts as a request under way until it is dropped.
struct UnderWay {
    shared: Arc<Shared>,
    answered: bool,
}

impl UnderWay {
    fn answer(&mut self, switches: bool) {
        self.answered = true;
        self.shared.answer(switches);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.answer(false);
        }
        self.shared.end();
    }
}

pin_project! {
    /// A response body whose end is noticed, and whose failure is told one poll late: hyper drops
    /// what it has not yet written when a body fails, and the client is to get what there was.
    pub(crate) struct Tracked<B: Body> {
        #[pin]
        body: B,
        under_way: Option<UnderWay>,
        failure: Option<B::Error>,
    }
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match this.body.poll_frame(cx) {
            Poll::Ready(Some(Err(failure))) => {
                if let Some(under_way) = this.under_way {
                    under_way.shared.note_failure();
                }
                *this.failure = Some(failure);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            outcome => outcome,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
