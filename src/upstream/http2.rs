//! HTTP/2 to an upstream: one connection, many exchanges (RFC 9113).
//!
//! A [`Session`](session::Session) knows the protocol and no socket, one task for each connection
//! ([`driver`]) moves its bytes, and an exchange puts its request into the session's outbox and
//! waits to be woken. It is our own because of what a proxy sends: the same long `Authorization`
//! with each request, which general clients spell out each time and ours [indexes](hpack).

mod broken;
mod download;
mod driver;
mod fatal;
mod fields;
mod frame;
mod hpack;
mod measure;
mod outbox;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod upload;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::Body;

use self::fields::is_of_connection;
use self::frame::Code;
use self::hpack::Scheme;
use self::session::{Arrival, RequestHead, Session, USUAL_MAX_STREAMS};
use self::upload::{Upload, upload};
use super::Waiting;
use super::body::{Replay, RequestBody};
use super::connector::UpstreamStream;
use super::error::UpstreamError;
use super::origin::Origin;
use super::response::ResponseBody;
use crate::config;
use crate::message::{self, Field, Fields, Name, Response, ResponseHead, decimal};
use crate::net::Timer;

pub use self::broken::Broken;
pub(super) use self::download::Http2Body;
pub use self::measure::{ReadConnection, ReadStream, read_http2};

/// How often an upstream that refuses a stream is asked again: it may have too much to do.
const MAX_REFUSED: usize = 8;
/// How often a connection may go away under a request. Servers close one after some number of
/// requests (nginx: 1000, Apache: 100), and where few more than that are under way at a time, the
/// same one can be among those left over again and again.
const MAX_LEFT: usize = 32;

/// A connection that exchanges can be started on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Http2(Rc<Owner>);

/// What all who use a connection have of it together; when none is left, it closes.
struct Owner {
    session: Rc<RefCell<Session>>,
    /// Exchanges under way.
    active: Cell<usize>,
    /// No more exchanges are to be started: one has timed out.
    retired: Cell<bool>,
}

/// How an exchange failed, and what that means for sending it again.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// Where the upstream has not looked at it (RFC 9113 §8.7): how many such failures one request
    /// may meet with.
    pub(super) unprocessed: Option<usize>,
    /// Nothing of the request was written: its body, to be sent elsewhere.
    pub(super) unsent: Option<RequestBody>,
    /// It wants the request by HTTP/1.1.
    pub(super) wants_http1: bool,
    /// The connection died ahead of any byte of a response.
    pub(super) died: bool,
}

impl Failure {
    fn of(error: UpstreamError) -> Self {
        Self { error, unprocessed: None, unsent: None, wants_http1: false, died: false }
    }
}

impl Http2 {
    /// Speaks HTTP/2 on `stream`. `sibling`: another connection to the same upstream, which has said
    /// how many streams it takes. To be called on a runtime for local tasks.
    pub(super) fn new(stream: UpstreamStream, sibling: Option<&Self>) -> Self {
        let known = sibling.map(|sibling| sibling.0.session.borrow().max_streams());
        let max_streams = known.filter(|known| *known > 0).unwrap_or(USUAL_MAX_STREAMS);
        let session = Rc::new(RefCell::new(Session::new(max_streams)));
        tokio::task::spawn_local(driver::drive(stream, Rc::clone(&session)));
        Self(Rc::new(Owner { session, active: Cell::new(0), retired: Cell::new(false) }))
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.0.retired.get() && self.0.session.borrow().is_usable()
    }

    pub(super) fn has_room(&self) -> bool {
        self.0.session.borrow().has_room()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active() == 0
    }

    pub(super) fn active(&self) -> usize {
        self.0.active.get()
    }

    /// Sends the request and waits for the head of its response.
    pub(super) async fn exchange(
        self,
        head: &message::RequestHead,
        body: RequestBody,
        origin: &Origin,
        waiting: Waiting<'_>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Waiting { timeout, timer, interim } = waiting;
        let replay = body.replay();
        let mut exchange = Exchange::new(&self.0);
        timer.set(timeout);
        while !exchange.start(head, &body, origin).map_err(Failure::of)? {
            if !self.is_usable() {
                let failure = exchange.failure(Broken::Unsent, &replay, origin);
                return Err(Failure { unsent: Some(body), ..failure });
            }
            Box::pin(exchange.wait_for_room(origin, waiting)).await?;
            timer.set(timeout);
        }
        let mut sending =
            (!body.is_end_stream()).then(|| Box::pin(upload(body, Rc::clone(&self.0), exchange.id)));
        let mut sent = 0;
        let outcome = poll_fn(|cx| {
            if sending.as_mut().is_some_and(|sending| sending.as_mut().poll(cx).is_ready()) {
                sending = None;
            }
            while let Poll::Ready(arrival) = exchange.with(|session| session.poll_head(exchange.id, cx)) {
                match arrival {
                    Ok(Arrival::Interim(StatusCode::CONTINUE, _)) => {}
                    Ok(Arrival::Interim(status, fields)) => interim.send(status, &fields),
                    Ok(Arrival::Head(status, fields)) => return Poll::Ready(Some(Ok((status, fields)))),
                    Err(broken) => return Poll::Ready(Some(Err(broken))),
                }
            }
            // The time is that of the upstream: it does not run while the request is on its way.
            let (frames, waits_for_client) = replay.progress();
            if waits_for_client || std::mem::replace(&mut sent, frames) != frames {
                timer.set(timeout);
            }
            timer.poll_passed(cx).map(|()| None)
        })
        .await;
        timer.clear();
        match outcome {
            Some(Ok((status, fields))) => {
                // The rest of the request goes on by itself, for as long as somebody wants the
                // answer.
                Ok(exchange.receive(status, fields, timer, || sending.map(Upload::spawn)))
            }
            Some(Err(broken)) => Err(exchange.failure(broken, &replay, origin)),
            None => Err(exchange.timed_out(origin, timeout)),
        }
    }
}

impl Owner {
    fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.session.borrow_mut();
        let outcome = act(&mut session);
        session.wake_driver();
        outcome
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.with(|session| session.abandoned = true);
    }
}

/// One exchange on a connection; dropped, it is over.
struct Exchange {
    owner: Rc<Owner>,
    /// Its stream; 0 while it has none.
    id: u32,
}

impl Exchange {
    fn new(owner: &Rc<Owner>) -> Self {
        owner.active.set(owner.active.get() + 1);
        Self { owner: Rc::clone(owner), id: 0 }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        self.owner.with(act)
    }

    /// Puts the request's head into the outbox; `false` where there is no room for another
    /// stream.
    fn start(
        &mut self,
        head: &message::RequestHead,
        body: &RequestBody,
        origin: &Origin,
    ) -> Result<bool, UpstreamError> {
        let path = head.uri.path_and_query().ok_or(UpstreamError::Request("its target has no path"))?;
        let head = RequestHead {
            method: &head.method,
            scheme: match origin.scheme() {
                config::Scheme::Http => Scheme::Http,
                config::Scheme::Https => Scheme::Https,
            },
            authority: origin.host_field(),
            path: path.as_str(),
            fields: head.fields.iter().filter(passes),
        };
        let is_retired = self.owner.retired.get();
        self.id = self.with(|session| {
            let is_open = !is_retired && session.is_usable() && session.has_room();
            if is_open { session.open(head, body.is_end_stream()) } else { 0 }
        });
        Ok(self.id != 0)
    }

    /// Waits until the connection has room for another stream, or has none ever again.
    async fn wait_for_room(&self, origin: &Origin, waiting: Waiting<'_>) -> Result<(), Failure> {
        let room = self.owner.session.borrow().room();
        let is_over = || {
            let session = self.owner.session.borrow();
            session.has_room() || !session.is_usable() || self.owner.retired.get()
        };
        while !is_over() {
            let mut told = std::pin::pin!(room.notified());
            let in_time = poll_fn(|cx| {
                if told.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                waiting.timer.poll_passed(cx).map(|()| false)
            });
            if !in_time.await {
                return Err(no_answer(origin, waiting.timeout));
            }
        }
        Ok(())
    }

    fn timed_out(&self, origin: &Origin, after: Duration) -> Failure {
        // The path may be dead; requests to come had better not find out on it.
        self.owner.retired.set(true);
        self.owner.session.borrow().room().notify_waiters();
        no_answer(origin, after)
    }

    fn failure(&self, broken: Broken, replay: &Replay, origin: &Origin) -> Failure {
        if let Some(fault) = replay.fault() {
            return Failure::of(UpstreamError::Client(fault));
        }
        let to = origin.to_string();
        let (mut wants_http1, mut died, mut unprocessed) = (false, false, None);
        match &broken {
            Broken::Malformed(reason) => {
                return Failure::of(UpstreamError::Malformed { to, reason: (*reason).into() });
            }
            Broken::Reset(Code::REFUSED_STREAM) => unprocessed = Some(MAX_REFUSED),
            Broken::Reset(Code::HTTP_1_1_REQUIRED) => (unprocessed, wants_http1) = (Some(MAX_REFUSED), true),
            Broken::Reset(_) => {}
            Broken::NotLookedAt(_) | Broken::Unsent => unprocessed = Some(MAX_LEFT),
            Broken::Connection(_) => died = true,
        }
        let error = UpstreamError::Closed { to, source: broken.into() };
        Failure { error, unprocessed, unsent: None, wants_http1, died }
    }

    fn receive(
        self,
        status: StatusCode,
        fields: Fields,
        timer: &Timer,
        upload: impl FnOnce() -> Option<Upload>,
    ) -> Response<ResponseBody> {
        let whole = self.with(|session| match session.is_bodiless(self.id) {
            true => Some(Bytes::new()),
            false => session.take_whole(self.id),
        });
        let body = match whole {
            Some(whole) if whole.is_empty() => {
                let has_length = fields.has(Name::ContentLength);
                ResponseBody::bodiless(has_length && status == StatusCode::NOT_MODIFIED)
            }
            Some(whole) => ResponseBody::whole(whole),
            None => {
                let length = fields.first(Name::ContentLength).and_then(decimal);
                let upload = upload();
                ResponseBody::http2(Http2Body::new(self, length, upload, timer.clone()))
            }
        };
        let head = ResponseHead { status, reason: None, version: Version::HTTP_11, fields };
        Response { head: Box::new(head), body }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.id != 0 {
            self.with(|session| session.forget(self.id));
        }
        self.owner.active.set(self.owner.active.get() - 1);
    }
}

fn no_answer(origin: &Origin, after: Duration) -> Failure {
    Failure::of(UpstreamError::ResponseTimeout { to: origin.to_string(), after })
}

/// Whether a field of a request goes on: none that is about a connection does (RFC 9113 §8.2.2).
fn passes(field: &Field<'_>) -> bool {
    match field.known {
        // The client is told to go on when its body is first read; HTTP/2 upstreams make room for
        // a body as they want it.
        Name::Host | Name::Expect => false,
        Name::Te => field.value == b"trailers",
        known => !is_of_connection(known, field.name),
    }
}
