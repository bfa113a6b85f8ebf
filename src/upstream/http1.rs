//! HTTP/1.1 to an upstream: one connection, one exchange at a time.
//!
//! The connection is driven by whoever has the exchange: by the request until its head is
//! answered, by the body until its end, by nobody while it idles in the pool. That saves a task
//! and two wake-ups for each request, and makes a dropped exchange a closed connection at once.
//! Only where the response begins before the request has ended does it get a task of its own,
//! so that neither direction waits for the other.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::body::{BODY_TIMEOUT, GoAhead, Replay, RequestBody};
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
        let outcome = poll_fn(|cx| {
            if !ended {
                ended = connection.poll_without_shutdown(cx).is_ready();
            }
            if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
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
                    self.deadline.set(BODY_TIMEOUT);
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

/// Puts the request into the form that HTTP/1.1 has on the wire.
fn prepare(request: &mut Request<RequestBody>, origin: &Origin) -> Option<GoAhead> {
    let from_http2 = request.version() == Version::HTTP_2;
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        // A path that was part of a URI is one.
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    let is_empty = request.body().is_empty();
    let length = request.body().size_hint().exact();
    let announces_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    headers.insert(HOST, origin.host_field());
    join_cookies(headers);
    let has_length = headers.contains_key(CONTENT_LENGTH);
    if is_empty {
        headers.remove(EXPECT);
        if from_http2 && announces_body && !has_length {
            // HTTP/2 has other means to say so (RFC 9110 §8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
    } else if let Some(length) = length.filter(|_| !has_length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    } else if !has_length {
        // Said outright, since hyper leaves out the body of a GET whose length is unknown.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let expects =
        headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects.then(|| request.body_mut().hold()).flatten()
}

/// HTTP/2 clients may send each cookie by itself, which HTTP/1.1 has not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        joined.set_sensitive(headers.get(COOKIE).is_some_and(HeaderValue::is_sensitive));
        headers.insert(COOKIE, joined);
    }
}

fn listen_to_interim(request: &mut Request<RequestBody>, interim: &Interim, go_ahead: Option<GoAhead>) {
    if !interim.is_wanted() && go_ahead.is_none() {
        return;
    }
    let interim = interim.clone();
    hyper::ext::on_informational(request, move |response| match response.status() {
        StatusCode::CONTINUE => {
            if let Some(go_ahead) = &go_ahead {
                go_ahead.set();
            }
        }
        StatusCode::SWITCHING_PROTOCOLS => {}
        status => {
            let mut headers = response.headers().clone();
            for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
                headers.remove(name);
            }
            interim.send(status, &headers);
        }
    });
}

/// RFC 9112 §6.3: refuses framing that two readers may see differently.
fn check_framing(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if headers.contains_key(CONTENT_LENGTH) {
            return Err("it has both Content-Length and Transfer-Encoding");
        }
        let several = headers.get_all(TRANSFER_ENCODING).iter().count() > 1;
        if several || !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err("its Transfer-Encoding is not exactly `chunked`");
        }
    }
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        let digits = length.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err("its Content-Length is not one plain decimal number");
        }
        if headers.get_all(CONTENT_LENGTH).iter().any(|other| other != length) {
            return Err("it has differing Content-Length fields");
        }
        let length = length.clone();
        headers.insert(CONTENT_LENGTH, length);
    }
    Ok(())
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
