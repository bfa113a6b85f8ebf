//! HTTP/2 to an upstream: one connection, many exchanges (RFC 9113).
//!
//! This speaks to the h2 crate itself: hyper would start a task for each exchange.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::body::{BODY_TIMEOUT, Replay, RequestBody};
use super::connector::UpstreamStream;
use super::error::UpstreamError;
use super::origin::Origin;
use super::response::{ResponseBody, ResponseBodyError};
use crate::net::{Deadline, Interim};

/// What an upstream may send ahead of our reading it, in bytes: on a stream, on a connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The decoded size of a response's fields.
const MAX_HEADER_LIST: u32 = 64 * 1024;
const MAX_FRAME: u32 = 64 * 1024;
/// What may wait to be sent on one stream.
const SEND_BUFFER: usize = 256 * 1024;

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
        &self,
        request: Request<RequestBody>,
        origin: &Origin,
        timeout: Duration,
        interim: &Interim,
    ) -> Result<Response<ResponseBody>, Failure> {
        let to = || origin.to_string();
        let (request, body) = prepare(request, origin).map_err(Failure::of)?;
        let is_head = request.method() == Method::HEAD;
        let replay = body.replay();
        let active = Active::new(&self.state);
        let mut deadline = Deadline::default();
        deadline.set(timeout);

        let mut send = self.send.clone();
        let ready = poll_fn(|cx| {
            if let Poll::Ready(outcome) = send.poll_ready(cx) {
                return Poll::Ready(Some(outcome));
            }
            deadline.poll_passed(cx).map(|()| None)
        });
        match ready.await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.classify(error, &replay, true, to())),
            None => return Err(self.timed_out(to(), timeout)),
        }
        let ends = body.is_end_stream();
        let (mut response, stream) = match send.send_request(request, ends) {
            Ok(sent) => sent,
            Err(error) => return Err(self.classify(error, &replay, true, to())),
        };
        let mut upload = (!ends).then(|| Box::pin(upload(body, stream)));
        let outcome = poll_fn(|cx| {
            if let Some(sending) = &mut upload {
                if sending.as_mut().poll(cx).is_ready() {
                    upload = None;
                }
            }
            while let Poll::Ready(Some(Ok(early))) = response.poll_informational(cx) {
                if early.status() != StatusCode::CONTINUE {
                    interim.send(early.status(), early.headers());
                }
            }
            if let Poll::Ready(outcome) = Pin::new(&mut response).poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            deadline.poll_passed(cx).map(|()| None)
        })
        .await;
        let response = match outcome {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(self.classify(error, &replay, false, to())),
            None => return Err(self.timed_out(to(), timeout)),
        };
        // The rest of the request goes on by itself, for as long as somebody wants the answer.
        let upload = upload.map(|sending| Upload(tokio::task::spawn_local(sending)));
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
    let body = Http2Body {
        stream,
        left,
        deadline: Deadline::default(),
        data_ended: false,
        _upload: upload,
        _active: active,
    };
    Ok(Response::from_parts(head, ResponseBody::http2(body)))
}

/// The body of a response; dropped early, it resets the stream.
pub(super) struct Http2Body {
    stream: RecvStream,
    /// What is left of the announced length.
    left: Option<u64>,
    deadline: Deadline,
    data_ended: bool,
    _upload: Option<Upload>,
    _active: Active,
}

impl Http2Body {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let outcome = self.poll_stream(cx);
        if outcome.is_ready() {
            self.deadline.clear();
            return outcome;
        }
        if !self.deadline.is_set() {
            self.deadline.set(BODY_TIMEOUT);
        }
        ready!(self.deadline.poll_passed(cx));
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

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Counts as an exchange under way until it is dropped.
struct Active(Rc<State>);

impl Active {
    fn new(state: &Rc<State>) -> Self {
        state.active.set(state.active.get() + 1);
        Self(state.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}

/// A task that is aborted with its owner.
struct Upload(JoinHandle<()>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the body as fast as the upstream makes room. A body that the client broke off resets
/// the stream; what the client did is remembered in the body's source.
async fn upload(body: RequestBody, mut stream: SendStream<Bytes>) {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| {
            // The upstream wants no more of it.
            if let Poll::Ready(_reset) = stream.poll_reset(cx) {
                return Poll::Ready(None);
            }
            body.as_mut().poll_frame(cx).map(Some)
        });
        let Some(next) = next.await else { return };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(_fault)) => return stream.send_reset(Reason::CANCEL),
            // An error: the stream is over, and the response says why.
            None => return drop(stream.send_data(Bytes::new(), true)),
        };
        let sent = match frame.into_data() {
            Ok(data) => send_data(&mut stream, data, body.is_end_stream()).await,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => stream.send_trailers(trailers).map(|()| true).or(Ok(true)),
                Err(_unknown) => Ok(false),
            },
        };
        match sent {
            Ok(false) => {}
            Ok(true) | Err(()) => return,
        }
    }
}

/// Sends `data` as there is room for it; `Ok(true)` where the stream has ended with it.
async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> Result<bool, ()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| {
            if stream.capacity() > 0 {
                return Poll::Ready(Some(Ok(stream.capacity())));
            }
            stream.poll_capacity(cx)
        });
        let Some(Ok(room)) = room.await else { return Err(()) };
        if room == 0 {
            continue;
        }
        let part = data.split_to(room.min(data.len()));
        let ends = last && data.is_empty();
        stream.send_data(part, ends).map_err(|_| ())?;
        if ends {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts the request into the form that HTTP/2 has: `:scheme`, `:authority` and `:path` from one
/// absolute URI, and no field that is about a connection (RFC 9113 §8.2.2).
fn prepare(
    request: Request<RequestBody>,
    origin: &Origin,
) -> Result<(Request<()>, RequestBody), UpstreamError> {
    let (mut head, body) = request.into_parts();
    let (scheme, authority) = origin.uri_parts();
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = head.uri.into_parts().path_and_query;
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    head.uri = Uri::from_parts(parts).map_err(|_| UpstreamError::Request("its target has no path"))?;
    head.version = Version::HTTP_2;
    strip(&mut head.headers);
    Ok((Request::from_parts(head, ()), body))
}

fn strip(headers: &mut HeaderMap) {
    // hyper's server has answered an expectation by the time that the body is read; HTTP/2
    // upstreams make room for a body as they want it.
    for name in [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE, EXPECT] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(HeaderName::from_static(name));
    }
    let trailers = headers.get(TE).is_some_and(|value| value.as_bytes() == b"trailers");
    if !trailers {
        headers.remove(TE);
    }
}
