//! HTTP/1.1 to an upstream: one connection, one exchange at a time.
//!
//! The connection is driven by whoever has the exchange: by the request until its head is
//! answered, by the body until its end, by nobody while it idles in the pool. That saves a task
//! and two wake-ups for each request, and makes a dropped exchange a closed connection at once.
//! Only where the response begins before the request has ended does the rest of the request get a
//! task of its own, so that neither direction waits for the other.
//!
//! A request that is all there goes out in one write, and a small response comes in with one
//! read. What is written is made of checked parts alone; what is read is refused where two readers
//! could see it differently. Nothing of either is ever mended.

mod body;
mod encode;
mod exchange;
mod head;
mod measure;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

use std::future::poll_fn;
use std::rc::Rc;

use http::{Method, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::body::Decoder;
use self::encode::encode;
use self::exchange::{Exchange, NoHead};
use self::head::{Framing, Head};
use self::upload::Upload;
use self::wire::Wire;
use super::Waiting;
use super::body::RequestBody;
use super::connector::UpstreamStream;
use super::error::UpstreamError;
use super::origin::Origin;
use super::pool::Host;
use super::response::ResponseBody;
use crate::clock;
use crate::hint::seldom;
use crate::message::{Name, RequestHead, Response};
use crate::net::Timer;

pub(super) use self::body::Http1Body;
pub use self::measure::{ReadResponse, read_response};

/// A connection that no exchange is on.
pub(super) struct Http1 {
    wire: Wire,
    pub(super) idle_since: Instant,
}

/// How an exchange failed, and what that means for sending it again.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// Nothing of the request was written: its body, to be sent elsewhere.
    pub(super) unsent: Option<RequestBody>,
    /// The connection died ahead of any byte of a response.
    pub(super) died: bool,
}

impl From<UpstreamError> for Failure {
    #[cold]
    #[inline(never)]
    fn from(error: UpstreamError) -> Self {
        Self { error, unsent: None, died: false }
    }
}

impl Http1 {
    pub(super) fn new(stream: UpstreamStream) -> Self {
        Self { wire: Wire::new(stream), idle_since: clock::now() }
    }

    /// Whether the upstream has left it open and sent nothing, as far as can be seen.
    pub(super) fn is_alive(&mut self) -> bool {
        self.wire.is_quiet()
    }

    /// Sends the request, in origin-form and with the upstream's `Host`, and waits for the head
    /// of its response.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        head: &RequestHead,
        mut body: RequestBody,
        host: &Rc<Host>,
        origin: &Origin,
        waiting: Waiting<'_>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Waiting { timeout, timer, interim } = waiting;
        let replay = body.replay();
        let encoded = encode(head, &body, origin)?;
        let go_ahead = if encoded.expects { body.hold() } else { None };
        let mut exchange = Exchange::new(Upload::new(encoded, body), go_ahead, interim, host.recurring());
        let mut written = 0;
        timer.set(timeout);
        let outcome = poll_fn(|cx| {
            let outcome = exchange.poll(&mut self.wire, cx);
            if outcome.is_ready() {
                return outcome;
            }
            // The time is that of the upstream: it does not run while the request is on its way.
            let upload = exchange.upload();
            let waits_for_client = upload.is_all_written() && replay.progress().1;
            if waits_for_client || std::mem::replace(&mut written, upload.written()) != upload.written() {
                timer.set(timeout);
            }
            timer.poll_passed(cx).map(|()| Err(NoHead::Timeout))
        })
        .await;
        timer.clear();
        match outcome {
            Ok(answer) => self.judge(answer, exchange, head, host, origin, timer).map_err(Failure::from),
            Err(reason) => Err(exchange.failure(reason, &replay, origin, timeout)),
        }
    }

    /// Decides how the body is read, and who has the connection from here.
    fn judge(
        mut self: Box<Self>,
        answer: Head,
        exchange: Exchange<'_>,
        request: &RequestHead,
        host: &Rc<Host>,
        origin: &Origin,
        timer: &Timer,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let Head { head, framing, persists } = answer;
        let status = head.status;
        let has_length = head.fields.has(Name::ContentLength);
        let respond = |body| Ok(Response { head, body });
        if status == StatusCode::SWITCHING_PROTOCOLS {
            seldom();
            let asked = request.fields.has(Name::Upgrade) && exchange.upload().is_done();
            let parts = self.wire.into_parts().filter(|_| asked);
            let (stream, early) =
                parts.ok_or_else(|| UpstreamError::UnexpectedUpgrade { to: origin.to_string() })?;
            return respond(ResponseBody::upgraded(stream, early));
        }
        let framing = if is_bodiless(&request.method, status) { Framing::Length(0) } else { framing };
        // A request that is still on its way makes the connection one that is not used again.
        let is_fit = persists && framing != Framing::Unstated && exchange.upload().is_done();
        let host = Some(host).filter(|_| is_fit);
        if let Framing::Length(length) = framing {
            let unread = &mut self.wire.unread;
            if let Some(here) = usize::try_from(length).ok().filter(|here| *here <= unread.len()) {
                let whole = unread.split_to(here);
                if let Some(host) = host {
                    self.give_back(host);
                }
                return respond(if here == 0 {
                    ResponseBody::bodiless(has_length && status == StatusCode::NOT_MODIFIED)
                } else {
                    ResponseBody::whole(whole)
                });
            }
        }
        respond(self.stream(exchange.into_rest(), framing, host, timer))
    }

    /// A body of which not all is there.
    #[inline(never)]
    fn stream(
        self: Box<Self>,
        rest: Option<Upload>,
        framing: Framing,
        host: Option<&Rc<Host>>,
        timer: &Timer,
    ) -> ResponseBody {
        let (http1, upload) = match rest {
            Some(rest) => self.go_on(rest),
            None => (self, None),
        };
        let decoder = Decoder::new(framing);
        ResponseBody::http1(Http1Body::new(decoder, http1, host.cloned(), upload, timer.clone()))
    }

    /// Sends the rest of the request from a task of its own.
    #[inline(never)]
    fn go_on(self, mut upload: Upload) -> (Box<Self>, Option<JoinHandle<()>>) {
        let (wire, shared) = self.wire.share();
        let task = tokio::task::spawn_local(async move {
            match poll_fn(|cx| shared.with_stream(|stream| upload.poll(stream, cx))).await {
                Ok(()) => {}
                // What the upstream has answered may be whole all the same.
                Err(upload::Fault::Upstream(error)) => {
                    tracing::debug!(%error, "an upstream takes no more of a request");
                }
                Err(_) => shared.cut(),
            }
        });
        (Box::new(Self { wire, ..self }), Some(task))
    }

    /// To the pool, where the exchange has left nothing behind.
    #[inline(always)]
    fn give_back(mut self: Box<Self>, host: &Host) {
        if self.wire.unread.is_empty() {
            self.wire.rest();
            host.give_back(self);
        }
    }
}

/// RFC 9112 §6.3: the responses that end with their head, whatever that announces.
fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
