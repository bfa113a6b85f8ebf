//! The exchanges that finished last, redacted, and the streams of those that finish now.
//!
//! Both are bounded: the ring keeps the newest [`KEPT`], a subscriber that does not read skips
//! what does not fit its queue and is told how much, and there are at most [`SUBSCRIBERS`].
//! Only the control runtime comes here, so the lock is never waited for by a worker.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use ::http::Uri;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::sync::mpsc;

use super::exchange::Failed;
use super::redact;
use super::redacted::Redacted;

/// Exchanges that the ring keeps.
pub(super) const KEPT: usize = 500;

/// Streams at once: a few browser tabs for each of a few people.
const SUBSCRIBERS: usize = 32;

/// Events that a subscriber may be behind before it skips.
const BEHIND: usize = 256;

/// RFC 3339 in UTC, with microseconds, as tracing's own lines have it.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A finished exchange as it is shown: redacted, and with durations in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub id: String,
    /// When the request's head had arrived.
    pub time: String,
    pub method: String,
    /// The request target as it came, its query redacted.
    pub path: String,
    /// How the target was written: `origin`, `absolute`, `authority` or `asterisk`.
    pub form: &'static str,
    pub host: Option<String>,
    pub route: Option<Arc<str>>,
    pub status: Option<u16>,
    pub duration_ms: f64,
    pub failed: Option<Failed>,
    /// What the client was told of the failure.
    pub detail: Option<String>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// Of the request's `traceparent`.
    pub trace_id: Option<String>,
    pub phases: Phases,
}

/// Where the time went, in milliseconds; see [`Timing`](super::Timing).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Phases {
    pub token: f64,
    pub connect: f64,
    pub head: f64,
    pub body: f64,
}

/// The ring and the subscribers.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ring: VecDeque<Arc<Entry>>,
    subscribers: Vec<Subscriber>,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    events: mpsc::Sender<Event>,
    skipped: u64,
}

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum Event {
    /// An [`Entry`] as JSON, without line breaks.
    Finished(Arc<str>),
    /// So many exchanges were left out before the next one.
    Skipped(u64),
}

/// A stream of the exchanges that finish from now on. It ends with the collector.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Event>);

/// Every stream is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {SUBSCRIBERS} live streams already")]
pub struct TooManySubscribers;

impl Recent {
    /// The ring's entries, newest first.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().ring.iter().rev().cloned().collect()
    }

    /// Subscribes to what finishes from now on.
    pub fn subscribe(&self) -> Result<Subscription, TooManySubscribers> {
        let mut inner = self.lock();
        inner.subscribers.retain(|subscriber| !subscriber.events.is_closed());
        if inner.subscribers.len() >= SUBSCRIBERS {
            return Err(TooManySubscribers);
        }
        let (events, receiver) = mpsc::channel(BEHIND);
        if !inner.closed {
            inner.subscribers.push(Subscriber { events, skipped: 0 });
        }
        Ok(Subscription(receiver))
    }

    pub(super) fn push(&self, entry: Entry) {
        let mut inner = self.lock();
        let entry = Arc::new(entry);
        if inner.ring.len() == KEPT {
            inner.ring.pop_front();
        }
        inner.ring.push_back(Arc::clone(&entry));
        if inner.subscribers.is_empty() {
            return;
        }
        let json: Arc<str> =
            serde_json::to_string(&*entry).expect("an entry holds nothing that JSON cannot").into();
        inner.subscribers.retain_mut(|subscriber| subscriber.send(&json));
    }

    /// So many exchanges were not kept; whoever listens is told.
    pub(super) fn leave_out(&self, count: u64) {
        self.lock().subscribers.iter_mut().for_each(|subscriber| subscriber.skipped += count);
    }

    /// Ends every stream, now and later.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.subscribers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// The next event; `None` once there will be no more.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(context)
    }

    /// As [`poll_next`](Self::poll_next).
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Subscriber {
    /// `false` once nobody listens.
    fn send(&mut self, json: &Arc<str>) -> bool {
        // The notice of what was left out takes a place of its own, before the next entry.
        if self.skipped > 0 && self.events.capacity() >= 2 {
            match self.events.try_send(Event::Skipped(self.skipped)) {
                Ok(()) => self.skipped = 0,
                Err(_) => return !self.events.is_closed(),
            }
        }
        if self.skipped > 0 {
            self.skipped += 1;
            return !self.events.is_closed();
        }
        match self.events.try_send(Event::Finished(Arc::clone(json))) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.skipped += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Entry {
    pub(super) fn new(redacted: &Redacted<'_>, route: Option<Arc<str>>) -> Self {
        let record = redacted.record;
        Self {
            id: record.id.to_string(),
            time: redacted.time.to_owned(),
            method: redacted.method.clone().into_owned(),
            path: match record.uri.query() {
                Some(query) => format!("{}?{}", redacted.path, redact::query(query)),
                None => redacted.path.clone().into_owned(),
            },
            form: form(&record.uri),
            host: redacted.host.clone().map(Cow::into_owned),
            route,
            status: redacted.status(),
            duration_ms: redacted.duration_ms(),
            failed: record.failed,
            detail: redacted.detail.clone().map(Cow::into_owned),
            bytes_in: record.received,
            bytes_out: record.sent,
            trace_id: record.trace.map(|trace| trace.to_string()),
            phases: redacted.phases(),
        }
    }
}

/// A moment as everything on the admin listener and in the log writes it: RFC 3339, UTC.
pub fn timestamp(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(TIMESTAMP).unwrap_or_else(|_| String::from("-"))
}

/// RFC 9112 §3.2.
fn form(uri: &Uri) -> &'static str {
    match (uri.scheme(), uri.authority()) {
        (Some(_), _) => "absolute",
        (None, Some(_)) => "authority",
        (None, None) if uri.path() == "*" => "asterisk",
        (None, None) => "origin",
    }
}

#[cfg(test)]
mod tests;
