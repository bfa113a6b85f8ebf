//! [`RequestBody`]: a body on its way to an upstream, of which the start is held so that it can
//! be sent again.

mod hold;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

use self::hold::Hold;
use super::error::ClientFault;
use crate::http::hop_by_hop;
use crate::net::{Deadline, Incoming};

pub(super) use self::hold::GoAhead;

/// Bodies up to this size can be sent a second time.
pub const MAX_HELD: usize = 64 * 1024;
/// A body that has not moved for so long is given up.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// The body of a request to an upstream.
pub struct RequestBody(Kind);

enum Kind {
    Empty,
    Full(Option<Bytes>),
    Streaming(Box<Streaming>),
}

struct Streaming {
    source: Rc<RefCell<Source>>,
    /// Chunks of `source.held` that this body has given out.
    position: usize,
    /// Some of it had been read when this body was made: its length is no longer known.
    again: bool,
    hold: Option<Hold>,
    deadline: Deadline,
}

/// What comes from the client; shared by the body and those that may send it again.
struct Source {
    incoming: Incoming,
    /// Bytes that came, for whoever counts them.
    received: Arc<AtomicU64>,
    held: Vec<Bytes>,
    held_len: usize,
    trailers: Option<HeaderMap>,
    /// Fields that are not passed on in the trailers, beside those that never are.
    dropped_trailers: Vec<HeaderName>,
    /// More came than is held.
    overflown: bool,
    timeout: Duration,
    /// Frames that have come.
    frames: u64,
    /// The client has been asked for more and has not sent it yet.
    waiting: bool,
    ended: bool,
    fault: Option<ClientFault>,
}

/// Makes a request's body anew, while enough of it is held.
#[derive(Clone)]
pub struct Replay(ReplayKind);

#[derive(Clone)]
enum ReplayKind {
    Empty,
    Full(Bytes),
    Streaming(Rc<RefCell<Source>>),
}

impl RequestBody {
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(Some(bytes))) }
    }

    /// A client's body. Its start is held as it passes, for [`RequestBody::replay`].
    #[inline(always)]
    pub fn streaming(incoming: Incoming) -> Self {
        if incoming.is_end_stream() { Self::empty() } else { Self::of_client(incoming) }
    }

    #[inline(never)]
    fn of_client(incoming: Incoming) -> Self {
        // Known to be too long: nothing is held to begin with.
        let overflown = incoming.size_hint().lower() > MAX_HELD as u64;
        let source = Source {
            incoming,
            received: Arc::default(),
            held: Vec::new(),
            held_len: 0,
            trailers: None,
            dropped_trailers: Vec::new(),
            overflown,
            timeout: BODY_TIMEOUT,
            frames: 0,
            waiting: false,
            ended: false,
            fault: None,
        };
        Self(Kind::Streaming(Box::new(Streaming::new(Rc::new(RefCell::new(source)), false))))
    }

    /// Gives up when nothing of it has come for `timeout`, in place of a minute.
    pub fn within(self, timeout: Duration) -> Self {
        if let Kind::Streaming(streaming) = &self.0 {
            streaming.set_timeout(timeout);
        }
        self
    }

    /// Leaves these fields out of the trailers; those of the connection, of framing and of
    /// credentials never pass.
    #[inline(always)]
    pub fn without_trailers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        if let Kind::Streaming(streaming) = &self.0 {
            streaming.drop_trailers(names);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kind::Empty)
    }

    /// A count of the bytes that have come from the client, which goes on as they come; what is
    /// sent again is not counted again. `None` where none will.
    pub fn received(&self) -> Option<Arc<AtomicU64>> {
        match &self.0 {
            Kind::Streaming(streaming) => Some(streaming.received()),
            Kind::Empty | Kind::Full(_) => None,
        }
    }

    /// A handle that makes the body anew. While it lives, what is held stays in memory.
    #[inline(always)]
    pub fn replay(&self) -> Replay {
        if self.is_empty() { Replay(ReplayKind::Empty) } else { self.share() }
    }

    #[inline(never)]
    fn share(&self) -> Replay {
        Replay(match &self.0 {
            Kind::Empty => ReplayKind::Empty,
            Kind::Full(bytes) => bytes.clone().map_or(ReplayKind::Empty, ReplayKind::Full),
            Kind::Streaming(streaming) => ReplayKind::Streaming(streaming.source.clone()),
        })
    }

    /// Gives nothing out until the upstream wants it; a flag that says so to be set.
    #[inline(never)]
    pub(super) fn hold(&mut self) -> Option<GoAhead> {
        let Kind::Streaming(streaming) = &mut self.0 else { return None };
        let (hold, go_ahead) = Hold::new();
        streaming.hold = Some(hold);
        Some(go_ahead)
    }
}

impl Replay {
    /// The body from its start on; `None` where it is gone, or the client broke it off.
    pub fn body(&self) -> Option<RequestBody> {
        Some(RequestBody(match &self.0 {
            ReplayKind::Empty => Kind::Empty,
            ReplayKind::Full(bytes) => Kind::Full(Some(bytes.clone())),
            ReplayKind::Streaming(source) => {
                let usable = {
                    let source = source.borrow();
                    !source.overflown && source.fault.is_none()
                };
                if !usable {
                    return None;
                }
                Kind::Streaming(Box::new(Streaming::new(source.clone(), true)))
            }
        }))
    }

    /// How much of it has come from the client so far, in frames, and whether the client is being
    /// waited for: a slow upload is no silence of the upstream's.
    #[inline(never)]
    pub(super) fn progress(&self) -> (u64, bool) {
        match &self.0 {
            ReplayKind::Streaming(source) => {
                let source = source.borrow();
                (source.frames, source.waiting)
            }
            _ => (0, false),
        }
    }

    /// How the client broke it off.
    pub(super) fn fault(&self) -> Option<ClientFault> {
        match &self.0 {
            ReplayKind::Streaming(source) => source.borrow().fault,
            _ => None,
        }
    }
}

impl Streaming {
    #[inline(never)]
    fn drop_trailers(&self, names: impl IntoIterator<Item = HeaderName>) {
        self.source.borrow_mut().dropped_trailers.extend(names);
    }

    #[inline(never)]
    fn set_timeout(&self, timeout: Duration) {
        self.source.borrow_mut().timeout = timeout;
    }

    #[inline(never)]
    fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.source.borrow().received)
    }

    fn new(source: Rc<RefCell<Source>>, again: bool) -> Self {
        Self { source, position: 0, again, hold: None, deadline: Deadline::default() }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        if let Some(hold) = &mut self.hold {
            ready!(hold.poll(cx));
            self.hold = None;
        }
        let mut source = self.source.borrow_mut();
        if let Some(fault) = source.fault {
            return Poll::Ready(Some(Err(fault)));
        }
        if let Some(held) = source.held.get(self.position) {
            self.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(held.clone()))));
        }
        if source.ended {
            // The trailers come last, once.
            let trailers = source.trailers.clone().filter(|_| self.position <= source.held.len());
            self.position = source.held.len() + 1;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let outcome = match Pin::new(&mut source.incoming).poll_frame(cx) {
            Poll::Ready(outcome) => {
                self.deadline.clear();
                source.waiting = false;
                source.frames += 1;
                outcome
            }
            Poll::Pending => {
                source.waiting = true;
                if !self.deadline.is_set() {
                    self.deadline.set(source.timeout);
                }
                ready!(self.deadline.poll_passed(cx));
                source.fault = Some(ClientFault::Stalled);
                return Poll::Ready(Some(Err(ClientFault::Stalled)));
            }
        };
        match outcome {
            Some(Ok(mut frame)) => {
                source.cleanse(&mut frame);
                source.keep(&frame);
                self.position = source.held.len();
                if frame.is_trailers() {
                    self.position += 1;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let fault = ClientFault::of(&error);
                source.fault = Some(fault);
                Poll::Ready(Some(Err(fault)))
            }
            None => {
                source.ended = true;
                self.position = source.held.len() + 1;
                Poll::Ready(None)
            }
        }
    }
}

impl Source {
    fn cleanse(&self, frame: &mut Frame<Bytes>) {
        let Some(trailers) = frame.trailers_mut() else { return };
        hop_by_hop::strip_trailers(trailers);
        for name in &self.dropped_trailers {
            trailers.remove(name);
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
            if !self.overflown && self.held_len + data.len() <= MAX_HELD {
                self.held_len += data.len();
                self.held.push(data.clone());
            } else {
                self.overflown = true;
                self.held = Vec::new();
            }
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.ended = true;
        }
        self.ended |= self.incoming.is_end_stream();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = ClientFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Streaming(streaming) => streaming.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Streaming(streaming) => {
                let source = streaming.source.borrow();
                let given_out = match source.trailers {
                    Some(_) => streaming.position > source.held.len(),
                    None => streaming.position >= source.held.len(),
                };
                // A body that was broken off is not at its end.
                source.ended && source.fault.is_none() && given_out
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Streaming(streaming) if streaming.again => SizeHint::default(),
            Kind::Streaming(streaming) => streaming.source.borrow().incoming.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_full_body_can_be_made_again() {
        let body = RequestBody::full(Bytes::from_static(b"abc"));
        let replay = body.replay();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(replay.body().unwrap().collect().await.unwrap().to_bytes(), "abc");
        assert!(RequestBody::full(Bytes::new()).is_empty());
    }
}
