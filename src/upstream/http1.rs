//! HTTP/1.1 to an upstream: one connection, one exchange at a time.
//!
//! The connection is driven by whoever has the exchange: by the request until its head is
//! answered, by the body until its end, by nobody while it idles in the pool. That saves a task
//! and two wake-ups for each request, and makes a dropped exchange a closed connection at once.
//! Only where the response begins before the request has ended does it get a task of its own,
//! so that neither direction waits for the other.

mod wire;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use self::wire::{check_framing, listen_to_interim, prepare};
use super::body::{BODY_TIMEOUT, Replay, RequestBody};
use super::connector::UpstreamStream;
use super::error::UpstreamError;
use super::origin::Origin;
use super::pool::Host;
use super::response::{ResponseBody, ResponseBodyError};
use crate::net::{Deadline, Interim};

/// The most that is buffered of a head or body, in bytes.
const MAX_BUFFER: usize = 256 * 1024;

/// A connection that no exchange is on.
pub(super) struct Http1 {
    send: http1::SendRequest<RequestBody>,
    connection: http1::Connection<TokioIo<UpstreamStream>, RequestBody>,
    deadline: Deadline,
    pub(super) idle_since: Instant,
}

/// How an exchange failed, and what that means for sending it again.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// Nothing of it was written: the request itself, to be sent elsewhere.
    pub(super) unsent: Option<Request<RequestBody>>,
    /// The connection died ahead of any byte of a response.
    pub(super) died: bool,
}

impl Failure {
    fn of(error: UpstreamError) -> Self {
        Self { error, unsent: None, died: false }
    }
}

impl Http1 {
    pub(super) async fn handshake(stream: UpstreamStream, origin: &Origin) -> Result<Self, UpstreamError> {
        let (send, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| UpstreamError::Closed { to: origin.to_string(), source: error.into() })?;
        Ok(Self { send, connection, deadline: Deadline::default(), idle_since: Instant::now() })
    }

    /// Whether the upstream has left it open, as far as can be seen.
    pub(super) fn is_alive(&mut self) -> bool {
        // Nobody needs to be woken: a connection in the pool is looked at when it is wanted.
        let mut cx = Context::from_waker(Waker::noop());
        self.connection.poll_without_shutdown(&mut cx).is_pending() && self.send.is_ready()
    }

    /// Sends the request, in origin-form and with the upstream's `Host`, and waits for the head
    /// of its response.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        mut request: Request<RequestBody>,
        host: &Rc<Host>,
        origin: &Origin,
        timeout: Duration,
        interim: &Interim,
    ) -> Result<Response<ResponseBody>, Failure> {
        let to = || origin.to_string();
        let wants_upgrade = request.headers().contains_key(http::header::UPGRADE);
        let replay = request.body().replay();
        let go_ahead = prepare(&mut request, origin);
        listen_to_interim(&mut request, interim, go_ahead);

        let mut response = pin!(self.send.try_send_request(request));
        self.deadline.set(timeout);
        let (connection, deadline) = (&mut self.connection, &mut self.deadline);
        let mut ended = false;
        let mut sent = 0;
        let outcome = poll_fn(|cx| {
            if !ended {
                ended = connection.poll_without_shutdown(cx).is_ready();
            }
            if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            // The time is that of the upstream: it does not run while the request is on its way.
            let (frames, waits_for_client) = replay.progress();
            if waits_for_client || std::mem::replace(&mut sent, frames) != frames {
                deadline.set(timeout);
            }
            deadline.poll_passed(cx).map(|()| None)
        })
        .await;
        self.deadline.clear();
        let response = match outcome {
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                let unsent = error.take_message();
                return Err(classify(error.into_error(), unsent, &replay, to()));
            }
            None => return Err(Failure::of(UpstreamError::ResponseTimeout { to: to(), after: timeout })),
        };
        self.receive(response, ended, wants_upgrade, replay, host, origin).map_err(Failure::of)
    }

    /// Judges the head and decides who drives the connection from here.
    fn receive(
        self: Box<Self>,
        response: Response<Incoming>,
        ended: bool,
        wants_upgrade: bool,
        replay: Replay,
        host: &Rc<Host>,
        origin: &Origin,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let to = || origin.to_string();
        let (mut head, incoming) = response.into_parts();
        // Versions are about a connection; the client's is another.
        head.version = Version::HTTP_11;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            if !wants_upgrade {
                return Err(UpstreamError::UnexpectedUpgrade { to: to() });
            }
            let parts = self.connection.into_parts();
            let body = ResponseBody::upgraded(parts.io.into_inner(), parts.read_buf);
            return Ok(Response::from_parts(head, body));
        }
        check_framing(&mut head.headers)
            .map_err(|reason| UpstreamError::Malformed { to: to(), reason: reason.into() })?;

        let has_length = head.headers.contains_key(CONTENT_LENGTH);
        let mut body = Http1Body {
            incoming,
            driver: if ended { Driver::Ended } else { Driver::Inline(self, host.clone()) },
            deadline: Deadline::default(),
            timeout: BODY_TIMEOUT,
        };
        if !replay.is_finished() {
            body.detach();
        }
        if body.incoming.is_end_stream() {
            body.finish(&mut Context::from_waker(Waker::noop()));
            let keeps_length = has_length && head.status == StatusCode::NOT_MODIFIED;
            return Ok(Response::from_parts(head, ResponseBody::bodiless(keeps_length)));
        }
        Ok(Response::from_parts(head, ResponseBody::http1(body)))
    }
}

/// The body of a response, and the connection that it comes on.
pub(super) struct Http1Body {
    incoming: Incoming,
    driver: Driver,
    deadline: Deadline,
    timeout: Duration,
}

enum Driver {
    /// Polled along with the body, then given back to the host's pool.
    Inline(Box<Http1>, Rc<Host>),
    /// Polled by a task, since the request goes on; not used again.
    Task(JoinHandle<()>),
    /// hyper has closed it; what it has read may still be waiting in the body.
    Ended,
}

impl Http1Body {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let mut outcome = std::pin::Pin::new(&mut self.incoming).poll_frame(cx);
        if outcome.is_pending() && self.drive(cx) {
            outcome = std::pin::Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match outcome {
            Poll::Pending => {
                if !self.deadline.is_set() {
                    self.deadline.set(self.timeout);
                }
                if self.deadline.poll_passed(cx).is_pending() {
                    return Poll::Pending;
                }
                self.close();
                Poll::Ready(Some(Err(ResponseBodyError::Stalled)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.deadline.clear();
                if self.incoming.is_end_stream() {
                    self.finish(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.close();
                Poll::Ready(Some(Err(ResponseBodyError::Http1(error))))
            }
            Poll::Ready(None) => {
                self.finish(cx);
                Poll::Ready(None)
            }
        }
    }

    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// Polls the connection where that is this body's business; whether it was.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Driver::Inline(http1, _) = &mut self.driver else { return false };
        if http1.connection.poll_without_shutdown(cx).is_ready() {
            self.driver = Driver::Ended;
        }
        true
    }

    fn detach(&mut self) {
        match std::mem::replace(&mut self.driver, Driver::Ended) {
            Driver::Inline(http1, _) => {
                let mut connection = http1.connection;
                // The sender lives as long as the task: without it the connection would end.
                let send = http1.send;
                self.driver = Driver::Task(tokio::task::spawn_local(async move {
                    if let Err(error) = poll_fn(|cx| connection.poll_without_shutdown(cx)).await {
                        tracing::debug!(%error, "an upstream's connection broke");
                    }
                    drop(send);
                }));
            }
            other => self.driver = other,
        }
    }

    /// The response is complete: the connection goes back if it is fit for another exchange.
    fn finish(&mut self, cx: &mut Context<'_>) {
        match std::mem::replace(&mut self.driver, Driver::Ended) {
            Driver::Inline(mut http1, host) => {
                let open = http1.connection.poll_without_shutdown(cx).is_pending();
                if open && http1.send.is_ready() {
                    http1.deadline.clear();
                    host.give_back(http1);
                }
            }
            Driver::Task(task) => task.abort(),
            Driver::Ended => {}
        }
    }

    fn close(&mut self) {
        if let Driver::Task(task) = std::mem::replace(&mut self.driver, Driver::Ended) {
            task.abort();
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        self.close();
    }
}

fn classify(
    error: hyper::Error,
    unsent: Option<Request<RequestBody>>,
    replay: &Replay,
    to: String,
) -> Failure {
    if let Some(fault) = replay.fault() {
        return Failure::of(UpstreamError::Client(fault));
    }
    if error.is_parse() {
        return Failure::of(UpstreamError::Malformed { to, reason: error.to_string() });
    }
    if error.is_user() {
        return Failure::of(UpstreamError::Request("its head cannot be written as HTTP/1.1"));
    }
    Failure { error: UpstreamError::Closed { to, source: error.into() }, unsent, died: true }
}
