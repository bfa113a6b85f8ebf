//! Response bodies: a whole text, or a stream of events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::time::{Interval, MissedTickBehavior};

use crate::telemetry::{Event, Subscription};

/// How often a quiet stream says that it is alive; less than the idle timeouts of proxies between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The body of an answer of the admin listener.
#[derive(Debug)]
pub struct AdminBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Full<Bytes>),
    Events(Events),
}

/// Server-sent events (WHATWG HTML §9.2): `data: {…}` for each exchange that finishes.
#[derive(Debug)]
struct Events {
    subscription: Subscription,
    keep_alive: Interval,
    begun: bool,
}

impl AdminBody {
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Full::new(bytes.into())))
    }

    pub(super) fn events(subscription: Subscription) -> Self {
        let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Kind::Events(Events { subscription, keep_alive, begun: false }))
    }
}

impl From<Full<Bytes>> for AdminBody {
    fn from(body: Full<Bytes>) -> Self {
        Self(Kind::Whole(body))
    }
}

impl Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Whole(body) => Pin::new(body).poll_frame(context),
            Kind::Events(events) => {
                let text = ready!(events.poll_text(context));
                Poll::Ready(text.map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(body) => body.is_end_stream(),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => body.size_hint(),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

impl Events {
    fn poll_text(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.begun {
            self.begun = true;
            // Something at once, so that the browser knows that the stream is open.
            return Poll::Ready(Some(Bytes::from_static(b"retry: 2000\n: live\n\n")));
        }
        let mut text = String::new();
        // What is there already goes out together, in one write.
        while let Poll::Ready(event) = self.subscription.poll_next(context) {
            match event {
                Some(event) => write_event(&mut text, &event),
                None if text.is_empty() => return Poll::Ready(None),
                None => break,
            }
        }
        if !text.is_empty() {
            self.keep_alive.reset();
            return Poll::Ready(Some(text.into()));
        }
        ready!(self.keep_alive.poll_tick(context));
        Poll::Ready(Some(Bytes::from_static(b": alive\n\n")))
    }
}

fn write_event(text: &mut String, event: &Event) {
    match event {
        // The JSON holds no line break, so one `data:` line holds all of it.
        Event::Finished(json) => write!(text, "data: {json}\n\n"),
        Event::Skipped(count) => write!(text, "event: skipped\ndata: {{\"skipped\":{count}}}\n\n"),
    }
    .expect("writing to a String does not fail");
}
