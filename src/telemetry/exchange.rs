//! One exchange, from the request's head to the last byte of its response, as it is recorded.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use serde::Serialize;

use super::metrics::RouteId;
use super::recorder::Recorder;
use crate::clock;
use crate::hint::seldom;
use crate::message::{Name, RequestHead};

/// The identifier of an exchange in answers, log and status page: thirteen characters, unique
/// within the life of the process and, by a random start, all but certainly beyond it. It is not
/// a secret and guards nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) u64);

/// The trace id of a W3C `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Whose doing it is that an exchange did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Failed {
    /// The request was malformed, or the client went away.
    Client,
    /// A guard refused it.
    Guard,
    /// No token was to be had.
    Token,
    /// The upstream could not be reached, broke off, or answered 5xx.
    Upstream,
}

/// Where the time of an exchange went, in phases that follow one another.
///
/// What is left of `total` is the proxy's own work and the reading of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for a token, admission and routing included. Zero where a live one was held.
    pub token: Duration,
    /// Getting a connection: TCP and TLS. Zero where one came from the pool.
    pub connect: Duration,
    /// From the request being handed to the connection to the response's head, or to the end of
    /// waiting for it.
    pub head: Duration,
    /// From the response's head to its last byte.
    pub body: Duration,
    /// From the request's head to the end.
    pub total: Duration,
}

/// The record of an exchange that is over. To fill one in costs no allocation: the URI and the
/// header value share the memory of the request they came with.
///
/// It holds the request as it came, so it has no `Debug`; it is redacted when it is written.
#[derive(Clone)]
pub struct Finished {
    pub id: RequestId,
    pub started: Instant,
    pub method: Method,
    /// In the form in which the client sent it (RFC 9112 §3.2).
    pub uri: Uri,
    pub host: Option<Bytes>,
    /// [`RouteId::NONE`] where no route took the request.
    pub route: RouteId,
    /// `None` where the client left before there was one.
    pub status: Option<StatusCode>,
    pub failed: Option<Failed>,
    /// What went wrong, as the client was told.
    pub detail: Option<Box<str>>,
    /// Whether the upstream's response head came.
    pub answered: bool,
    pub timing: Timing,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    pub trace: Option<TraceId>,
}

/// An exchange under way. It is recorded when it is dropped, however it ends; one that is dropped
/// without a status counts as given up by the client.
pub struct Exchange {
    recorder: Arc<Recorder>,
    mark: Instant,
    /// Where the time since `mark` goes if the exchange ends now.
    phase: Phase,
    /// Counts the request's body for as long as it streams.
    receiving: Option<Arc<AtomicU64>>,
    /// Somebody may read the record. Else it holds no more of the request than what is counted.
    is_wanted: bool,
    record: Finished,
    /// It stays on its worker's thread.
    of_thread: PhantomData<Rc<()>>,
}

/// What an exchange is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody: the proxy is at work.
    Own,
    Token,
    Head,
    Body,
}

impl RequestId {
    /// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`, nothing that looks like another.
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 13];
        for (place, shift) in text.iter_mut().zip((0..13).rev()) {
            *place = Self::ALPHABET[(self.0 >> (shift * 5)) as usize & 31];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl TraceId {
    /// Reads a `traceparent` of version 00, or of a later one that begins the same way (W3C Trace
    /// Context §3.2.2). `None` for anything that is malformed or all zero.
    pub fn from_traceparent(value: &[u8]) -> Option<Self> {
        let version = hex_byte(value.get(..2)?)?;
        let well_formed = match version {
            0 => value.len() == 55,
            0xff => false,
            _ => value.len() == 55 || value.get(55) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|&at| value.get(at) == Some(&b'-'));
        if !well_formed || !dashes {
            return None;
        }
        let mut id = [0; 16];
        for (byte, text) in id.iter_mut().zip(value[3..35].chunks_exact(2)) {
            *byte = hex_byte(text)?;
        }
        let mut parent = 0;
        for text in value[36..52].chunks_exact(2) {
            parent |= hex_byte(text)?;
        }
        hex_byte(&value[53..55])?;
        (id != [0; 16] && parent != 0).then_some(Self(id))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Failed {
    pub const ALL: [Self; 4] = [Self::Client, Self::Guard, Self::Token, Self::Upstream];

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Guard => "guard",
            Self::Token => "token",
            Self::Upstream => "upstream",
        }
    }
}

impl Exchange {
    #[inline]
    pub(super) fn new(recorder: Arc<Recorder>, id: RequestId, head: &RequestHead, is_wanted: bool) -> Self {
        let started = clock::now().into_std();
        let (uri, host, trace) = if is_wanted { shown(head) } else { Default::default() };
        let record = Finished {
            id,
            started,
            method: head.method.clone(),
            uri,
            host,
            route: RouteId::NONE,
            status: None,
            failed: None,
            detail: None,
            answered: false,
            timing: Timing::default(),
            received: 0,
            sent: 0,
            trace,
        };
        let phase = Phase::Own;
        Self { recorder, mark: started, phase, receiving: None, is_wanted, record, of_thread: PhantomData }
    }

    pub fn id(&self) -> RequestId {
        self.record.id
    }

    pub fn set_route(&mut self, route: RouteId) {
        self.record.route = route;
    }

    /// There is no token to send, so one is waited for, until [`token_ready`](Self::token_ready).
    pub fn waits_for_token(&mut self) {
        self.phase = Phase::Token;
    }

    /// The wait for a token is over, whether or not there is one. To be left out where a live one
    /// was held, since every reading of the clock costs as much as the rest of the record's making.
    pub fn token_ready(&mut self) {
        let took = self.lap();
        self.record.timing.token += took;
        self.phase = Phase::Own;
    }

    /// The request goes to the upstream, whose answer is waited for from now on. The bytes of its
    /// body are counted in `received` as they pass.
    pub fn sending(&mut self, received: Option<Arc<AtomicU64>>) {
        self.phase = Phase::Head;
        self.receiving = received;
    }

    /// So much of the time since the last mark went into getting a connection.
    pub fn connecting_took(&mut self, took: Duration) {
        self.mark += took;
        self.record.timing.connect += took;
    }

    /// All the time since the last mark went into getting a connection, whether or not there is
    /// one. To be left out where one came from the pool.
    pub fn connected(&mut self) {
        let took = self.lap();
        self.record.timing.connect += took;
    }

    /// The upstream's response head is there. Not for answers of the proxy's own.
    #[inline(always)]
    pub fn head_arrived(&mut self) {
        let took = self.lap();
        self.record.timing.head += took;
        self.record.answered = true;
        self.phase = Phase::Body;
    }

    /// The status that the client is sent. 5xx of the upstream itself is told with
    /// [`fail`](Self::fail) like any other failure.
    pub fn set_status(&mut self, status: StatusCode) {
        self.record.status = Some(status);
    }

    /// Who is at fault, and what the client was told of it. The first call counts.
    #[cold]
    #[inline(never)]
    pub fn fail(&mut self, failed: Failed, detail: Option<Box<str>>) {
        if self.record.failed.is_none() {
            self.record.failed = Some(failed);
            self.record.detail = detail;
        }
        if self.phase != Phase::Body {
            // The wait ends here, and not when the client has read the answer.
            self.end_phase(clock::now().into_std());
        }
    }

    /// Bytes of the request's body passed on.
    pub fn received(&mut self, bytes: u64) {
        self.record.received += bytes;
    }

    /// Bytes of the response's body passed on.
    pub fn sent(&mut self, bytes: u64) {
        self.record.sent += bytes;
    }

    fn lap(&mut self) -> Duration {
        let now = clock::now().into_std();
        now.saturating_duration_since(std::mem::replace(&mut self.mark, now))
    }

    /// Books the time since the mark on what it was spent on.
    fn end_phase(&mut self, now: Instant) {
        let took = now.saturating_duration_since(std::mem::replace(&mut self.mark, now));
        let timing = &mut self.record.timing;
        match std::mem::replace(&mut self.phase, Phase::Own) {
            Phase::Own => {}
            Phase::Token => timing.token += took,
            Phase::Head => timing.head += took,
            Phase::Body => timing.body += took,
        }
    }
}

/// What of a request's head only a record tells: target, host and trace.
#[inline(never)]
fn shown(head: &RequestHead) -> (Uri, Option<Bytes>, Option<TraceId>) {
    let host = head.fields.first_shared(Name::Host);
    let trace = head.fields.first(Name::Traceparent).and_then(TraceId::from_traceparent);
    (head.uri.clone(), host, trace)
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // In its body, an exchange has nothing left that is counted.
        if self.phase != Phase::Body {
            seldom();
            self.end_phase(clock::now().into_std());
        }
        if self.record.status.is_none() {
            seldom();
            self.record.failed.get_or_insert(Failed::Client);
        }
        let (mark, in_body, receiving) = (self.mark, self.phase == Phase::Body, &self.receiving);
        self.recorder.finish(&mut self.record, self.is_wanted, |record| {
            let now = clock::now().into_std();
            if in_body {
                record.timing.body += now.saturating_duration_since(mark);
            }
            record.timing.total = now.duration_since(record.started);
            if let Some(receiving) = receiving {
                record.received += receiving.load(Ordering::Relaxed);
            }
        });
    }
}

impl Finished {
    /// Moves the record out, by replacing what it shares and not by copying it.
    pub(super) fn take(&mut self) -> Self {
        Self {
            uri: std::mem::take(&mut self.uri),
            host: self.host.take(),
            detail: self.detail.take(),
            method: std::mem::take(&mut self.method),
            ..*self
        }
    }
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    match text {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_thirteen_plain_characters() {
        assert_eq!(RequestId(0).to_string(), "0000000000000");
        assert_eq!(RequestId(u64::MAX).to_string(), "fzzzzzzzzzzzz");
        assert_ne!(RequestId(1).to_string(), RequestId(2).to_string());
    }

    #[test]
    fn reads_trace_ids_as_the_trace_context_defines_them() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parse = |text: &str| TraceId::from_traceparent(text.as_bytes()).map(|id| id.to_string());
        assert_eq!(parse(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id));
        assert_eq!(parse(&format!("cc-{id}-00f067aa0ba902b7-01-more")).as_deref(), Some(id));
        for wrong in [
            String::new(),
            format!("00-{id}-00f067aa0ba902b7"),
            format!("00-{id}-00f067aa0ba902b7-01-more"),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("cc-{id}-00f067aa0ba902b7-01.more"),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{id}-00f067aa0ba902bx-01"),
            format!("00-{id}-00f067aa0ba902b7-0g"),
            format!("00_{id}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
