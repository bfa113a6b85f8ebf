//! HTTP/2 to an upstream: one connection, many exchanges (RFC 9113).
//!
//! This speaks to the h2 crate itself: hyper would start a task for each exchange.

mod download;
mod upload;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request,
};
use http_body::Body;

use self::upload::{Upload, upload};
use super::body::{Replay, RequestBody};
use super::connector::UpstreamStream;
use super::error::UpstreamError;
use super::origin::Origin;
use super::response::ResponseBody;

pub(super) use self::download::Http2Body;
use crate::net::{Deadline, Interim};

/// What an upstream may send ahead of our reading it, in bytes: on a stream, on a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The decoded size of a response's fields.
const MAX_HEADER_LIST: u32 = 64 * 1024;
const MAX_FRAME: u32 = 64 * 1024;
/// What may wait to be sent on one stream.
const SEND_BUFFER: usize = 256 * 1024;
/// Timers that are kept for the next exchange.
const MAX_SPARE: usize = 128;

/// A connection that exchanges can be started on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Http2 {
    send: SendRequest<Bytes>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    /// Exchanges under way.
    active: Cell<usize>,
    /// No more exchanges are to be started: it is closing, or has let one time out.
    retired: Cell<bool>,
    /// Timers of exchanges that are over: one that has been set costs little to set again.
    spare: RefCell<Vec<Deadline>>,
}

/// How an exchange failed, and what that means for sending it again.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// The upstream has not looked at it (RFC 9113 §8.7).
    pub(super) unprocessed: bool,
    /// The connection died ahead of any byte of a response.
    pub(super) died: bool,
}

impl Failure {
    fn of(error: UpstreamError) -> Self {
        Self { error, unprocessed: false, died: false }
    }
}

impl Http2 {
    pub(super) async fn handshake(stream: UpstreamStream, origin: &Origin) -> Result<Self, UpstreamError> {
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| UpstreamError::Closed { to: origin.to_string(), source: error.into() })?;
        let state = Rc::new(State::default());
        let shared = state.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream's HTTP/2 connection broke");
            }
            shared.retired.set(true);
        });
        Ok(Self { send, state })
    }

    pub(super) fn is_usable(&mut self) -> bool {
        if self.state.retired.get() {
            return false;
        }
        // Pending: its streams are all taken for now.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let gone = matches!(self.send.poll_ready(&mut cx), Poll::Ready(Err(_)));
        if gone {
            self.state.retired.set(true);
        }
        !gone
    }

    pub(super) fn has_room(&self) -> bool {
        self.state.active.get() < self.send.current_max_send_streams()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state.active.get() == 0
    }

    pub(super) fn active(&self) -> usize {
        self.state.active.get()
    }

    /// Sends the request and waits for the head of its response.
    pub(super) async fn exchange(
        mut self,
        head: &request::Parts,
        body: RequestBody,
        origin: &Origin,
        timeout: Duration,
        interim: &Interim,
    ) -> Result<Response<ResponseBody>, Failure> {
        let to = || origin.to_string();
        let request = prepare(head, origin).map_err(Failure::of)?;
        let is_head = head.method == Method::HEAD;
        let replay = body.replay();
        let mut active = Active::new(&self.state);
        active.deadline.set(timeout);

        let ready = poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.send.poll_ready(cx) {
                return Poll::Ready(Some(outcome));
            }
            active.deadline.poll_passed(cx).map(|()| None)
        });
        match ready.await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.classify(error, &replay, true, to())),
            None => return Err(self.timed_out(to(), timeout)),
        }
        let ends = body.is_end_stream();
        let (mut response, stream) = match self.send.send_request(request, ends) {
            Ok(sent) => sent,
            Err(error) => return Err(self.classify(error, &replay, true, to())),
        };
        let mut upload = (!ends).then(|| Box::pin(upload(body, stream)));
        let mut sent = 0;
        let outcome = poll_fn(|cx| {
            if upload.as_mut().is_some_and(|sending| sending.as_mut().poll(cx).is_ready()) {
                upload = None;
            }
            while let Poll::Ready(Some(Ok(early))) = response.poll_informational(cx) {
                if early.status() != StatusCode::CONTINUE {
                    interim.send(early.status(), early.headers());
                }
            }
            if let Poll::Ready(outcome) = Pin::new(&mut response).poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            // The time is that of the upstream: it does not run while the request is on its way.
            let (frames, waits_for_client) = replay.progress();
            if waits_for_client || std::mem::replace(&mut sent, frames) != frames {
                active.deadline.set(timeout);
            }
            active.deadline.poll_passed(cx).map(|()| None)
        })
        .await;
        active.deadline.clear();
        let response = match outcome {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(self.classify(error, &replay, false, to())),
            None => return Err(self.timed_out(to(), timeout)),
        };
        // The rest of the request goes on by itself, for as long as somebody wants the answer.
        let upload = upload.map(Upload::spawn);
        receive(response, is_head, upload, active, origin).map_err(Failure::of)
    }

    fn timed_out(&self, to: String, after: Duration) -> Failure {
        // The path may be dead; requests to come had better not find out on it.
        self.state.retired.set(true);
        Failure::of(UpstreamError::ResponseTimeout { to, after })
    }

    fn classify(&self, error: h2::Error, replay: &Replay, unsent: bool, to: String) -> Failure {
        if let Some(fault) = replay.fault() {
            return Failure::of(UpstreamError::Client(fault));
        }
        let refused = error.reason() == Some(Reason::REFUSED_STREAM) && error.is_remote();
        let left = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        let died = error.is_io() || error.is_go_away();
        if died || unsent {
            self.state.retired.set(true);
        }
        let error = if error.is_library() && !died {
            UpstreamError::Malformed { to, reason: error.to_string() }
        } else {
            UpstreamError::Closed { to, source: error.into() }
        };
        Failure { error, unprocessed: unsent || refused || left, died }
    }
}

fn receive(
    response: Response<RecvStream>,
    is_head: bool,
    upload: Option<Upload>,
    active: Active,
    origin: &Origin,
) -> Result<Response<ResponseBody>, UpstreamError> {
    let (mut head, stream) = response.into_parts();
    if head.status.is_informational() {
        return Err(UpstreamError::UnexpectedUpgrade { to: origin.to_string() });
    }
    head.version = Version::HTTP_11;
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if stream.is_end_stream() {
        let keeps_length = length.is_some() && head.status == StatusCode::NOT_MODIFIED;
        return Ok(Response::from_parts(head, ResponseBody::bodiless(keeps_length)));
    }
    let left = if is_head { None } else { length };
    let body = Http2Body::new(stream, left, upload, active);
    Ok(Response::from_parts(head, ResponseBody::http2(body)))
}

/// Counts as an exchange under way until it is dropped.
struct Active {
    state: Rc<State>,
    /// The exchange's: it waits for one thing at a time.
    deadline: Deadline,
}

impl Active {
    fn new(state: &Rc<State>) -> Self {
        state.active.set(state.active.get() + 1);
        let deadline = state.spare.borrow_mut().pop().unwrap_or_default();
        Self { state: state.clone(), deadline }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.state.active.set(self.state.active.get() - 1);
        let mut spare = self.state.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            self.deadline.clear();
            spare.push(std::mem::take(&mut self.deadline));
        }
    }
}

/// The request's head in the form that HTTP/2 has: `:scheme`, `:authority` and `:path` from one
/// absolute URI, and no field that is about a connection (RFC 9113 §8.2.2).
fn prepare(head: &request::Parts, origin: &Origin) -> Result<Request<()>, UpstreamError> {
    let (scheme, authority) = origin.uri_parts();
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = head.uri.path_and_query().cloned();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    let mut request = Request::new(());
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| UpstreamError::Request("its target has no path"))?;
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    let mut fields = HeaderMap::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        if passes(name, value) {
            fields.append(name.clone(), value.clone());
        }
    }
    *request.headers_mut() = fields;
    Ok(request)
}

fn passes(name: &HeaderName, value: &HeaderValue) -> bool {
    match *name {
        // The client is told to go on when its body is first read; HTTP/2 upstreams make room for
        // a body as they want it.
        HOST | CONNECTION | TRANSFER_ENCODING | UPGRADE | EXPECT => false,
        TE => value.as_bytes() == b"trailers",
        _ => !matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}
