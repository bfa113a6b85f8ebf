//! [`Body`]: what is sent to the client, counted and recorded as it passes.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{StatusCode, Version};
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;

use super::error;
use super::{Answer, Problem};
use crate::hint::seldom;
use crate::http::hop_by_hop;
use crate::message::Response;
use crate::telemetry::{Exchange, Failed};
use crate::upstream::{ResponseBody, ResponseBodyError};

/// A response's body. The exchange that it belongs to is recorded when it is dropped.
pub struct Body {
    kind: Kind,
    /// The client speaks HTTP/2, where a head that is the end of its stream says so.
    http2: bool,
    /// Its last byte, or an error, has been given out.
    ended: bool,
    exchange: Option<Box<Exchange>>,
}

enum Kind {
    Own(Full<Bytes>),
    Upstream(ResponseBody),
}

/// Makes the response of whatever came of a request. The one place where errors become responses.
pub(super) fn respond(
    outcome: Result<Answer, Problem>,
    mut exchange: Option<Box<Exchange>>,
    version: Version,
) -> Response<Body> {
    let response = match outcome {
        Ok(Answer::Relayed(response)) => {
            if let Some(exchange) = &mut exchange
                && response.status().is_server_error()
            {
                exchange.fail(Failed::Upstream, None);
            }
            response.map(Kind::Upstream)
        }
        Ok(Answer::Own(response)) => {
            seldom();
            response.map(Kind::Own)
        }
        Err(problem) => {
            seldom();
            of_problem(problem, exchange.as_deref_mut())
        }
    };
    if let Some(exchange) = &mut exchange {
        exchange.set_status(response.status());
    }
    // A 101 or the 200 to a CONNECT opens a tunnel, which has an exchange of its own.
    debug_assert!(response.status() != StatusCode::CONTINUE, "interim responses take another way");
    response.map(|kind| Body { kind, http2: version == Version::HTTP_2, ended: false, exchange })
}

#[inline(never)]
fn of_problem(problem: Problem, exchange: Option<&mut Exchange>) -> Response<Kind> {
    let id = match exchange {
        Some(exchange) => {
            let failed = error::failed(problem.kind());
            exchange.fail(failed, Some(problem.detail().into()));
            exchange.id().to_string()
        }
        None => String::from("-"),
    };
    Response::from(problem.into_response(id)).map(Kind::Own)
}

impl Drop for Body {
    fn drop(&mut self) {
        let whole = self.ended
            || match &self.kind {
                Kind::Own(_) => true,
                Kind::Upstream(body) => body.is_bodiless() || body.is_end_stream(),
            };
        if let Some(exchange) = self.exchange.as_mut().filter(|_| !whole) {
            exchange.fail(Failed::Client, Some("the connection ended before the response did".into()));
        }
    }
}

impl Body {
    fn count(&mut self, bytes: usize) {
        if let Some(exchange) = &mut self.exchange {
            exchange.sent(bytes as u64);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ResponseBodyError;

    #[inline(always)]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let mut frame = match &mut self.kind {
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Upstream(body) => Pin::new(body).poll_frame(cx),
        };
        self.ended |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        match &mut frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    seldom();
                    hop_by_hop::strip_trailers(trailers);
                    // Nothing comes behind them, so nobody asks again.
                    self.ended = true;
                }
                if let Some(data) = frame.data_ref() {
                    self.count(data.remaining());
                }
            }
            Poll::Ready(Some(Err(error))) => {
                seldom();
                if let Some(exchange) = &mut self.exchange {
                    exchange.fail(Failed::Upstream, Some(error.to_string().into()));
                }
            }
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Upstream(body) => body.is_end_stream() || (self.http2 && body.is_bodiless()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => body.size_hint(),
            Kind::Upstream(body) => body.size_hint(),
        }
    }
}
