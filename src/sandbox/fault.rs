//! Fault switches: what goes wrong on purpose, where, and how often.
//!
//! A [`Fault`] is a delay and one effect. Three queues decide in turn whether a request meets
//! one: the faults for the next requests, then the schedule, then the standing fault. The queues
//! of the services are separate.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::refusal::Refusal;

/// A part of the sandbox that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `/.well-known/oauth-authorization-server` and `/jwk`.
    Metadata,
    /// `/token`.
    Token,
    /// Altinn's exchange.
    Altinn,
    /// The self-service API and the echo API.
    Api,
}

const SERVICES: usize = 4;

/// Something that goes wrong with one request.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) delay: Duration,
    pub(super) effect: Effect,
}

#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Served as ever, after the delay.
    None,
    /// No answer, for as long as the client stays.
    Silence,
    /// The request is carried out; its answer is cut off on the wire after so many bytes.
    Cut { after: u64, reset: bool },
    /// The request is carried out; the body of its answer breaks off after so many bytes.
    Break { after: u64 },
    /// The request is carried out; a member of its JSON answer is replaced or taken away.
    Edit { member: &'static str, raw: Option<String> },
    /// The request is not carried out; this is the answer.
    Answer { status: StatusCode, headers: HeaderMap, body: FaultBody },
    /// The request is not carried out; Maskinporten's refusal is the answer.
    Refuse(Refusal),
}

#[derive(Clone, Debug)]
pub(super) enum FaultBody {
    Whole(Bytes),
    Endless,
}

impl Fault {
    fn of(effect: Effect) -> Self {
        Self { delay: Duration::ZERO, effect }
    }

    /// Served as ever, but only after `delay`.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, effect: Effect::None }
    }

    /// This fault, `delay` after the request's head has come in.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Never an answer; the connection stays open until the client closes it.
    pub fn silence() -> Self {
        Self::of(Effect::Silence)
    }

    /// The request is carried out, and the connection closed (FIN) before the answer.
    pub fn close() -> Self {
        Self::of(Effect::Cut { after: 0, reset: false })
    }

    /// The request is carried out, and the connection reset (RST) before the answer.
    pub fn reset() -> Self {
        Self::of(Effect::Cut { after: 0, reset: true })
    }

    /// The connection closes after `bytes` of the answer, its head included.
    pub fn cut(bytes: u64) -> Self {
        Self::of(Effect::Cut { after: bytes, reset: false })
    }

    /// The answer's head is whole; its body ends after `bytes`, short of what the head announced.
    pub fn break_body(bytes: u64) -> Self {
        Self::of(Effect::Break { after: bytes })
    }

    /// An answer with `status` and an empty body; see [`Self::header`] and [`Self::body`].
    pub fn status(status: StatusCode) -> Self {
        Self::of(Effect::Answer { status, headers: HeaderMap::new(), body: FaultBody::Whole(Bytes::new()) })
    }

    /// Adds a header to a [`Self::status`] answer. No effect on other faults.
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        if let Effect::Answer { headers, .. } = &mut self.effect {
            headers.append(name, HeaderValue::from_static(value));
        }
        self
    }

    /// Sets the body of a [`Self::status`] answer. No effect on other faults.
    pub fn body(mut self, content: impl Into<Bytes>) -> Self {
        if let Effect::Answer { body, .. } = &mut self.effect {
            *body = FaultBody::Whole(content.into());
        }
        self
    }

    /// `503` with `Retry-After`, given as the header's text (seconds or an HTTP date).
    pub fn unavailable(retry_after: &'static str) -> Self {
        Self::status(StatusCode::SERVICE_UNAVAILABLE).header(RETRY_AFTER, retry_after)
    }

    /// `200` with nothing in it.
    pub fn empty() -> Self {
        Self::status(StatusCode::OK).header(CONTENT_TYPE, "application/json")
    }

    /// `200` with a page, as a captive portal or a maintenance notice sends it.
    pub fn html() -> Self {
        Self::status(StatusCode::OK)
            .header(CONTENT_TYPE, "text/html")
            .body("<!doctype html><title>Vedlikehold</title><p>Vi er snart tilbake.")
    }

    /// `200` with the first half of a token answer, complete as far as HTTP can tell.
    pub fn truncated_json() -> Self {
        Self::status(StatusCode::OK)
            .header(CONTENT_TYPE, "application/json")
            .body("{\"access_token\":\"eyJhbGciOiJFUzI1NiJ9.eyJp")
    }

    /// `200` with JSON that never ends.
    pub fn endless() -> Self {
        let mut fault = Self::status(StatusCode::OK).header(CONTENT_TYPE, "application/json");
        if let Effect::Answer { body, .. } = &mut fault.effect {
            *body = FaultBody::Endless;
        }
        fault
    }

    /// A redirect to `location`.
    pub fn redirect(status: StatusCode, location: &'static str) -> Self {
        Self::status(status).header(LOCATION, location)
    }

    /// `401` as a resource server sends it to a token it does not accept (RFC 6750 §3.1).
    pub fn unauthorized() -> Self {
        Self::status(StatusCode::UNAUTHORIZED)
            .header(WWW_AUTHENTICATE, "Bearer realm=\"sandbox\", error=\"invalid_token\"")
            .header(CONTENT_TYPE, "application/json")
            .body("{\"status\":401,\"error\":\"invalid_token\"}")
    }

    /// The real answer with `member` of its JSON replaced by `raw`, verbatim (so that `NaN` or
    /// `"119"` can be sent), or taken away.
    pub fn member(member: &'static str, raw: Option<&str>) -> Self {
        Self::of(Effect::Edit { member, raw: raw.map(str::to_owned) })
    }

    /// One of Maskinporten's refusals, such as `MP-012`; `None` where there is no such code.
    pub fn refusal(code: &str) -> Option<Self> {
        Refusal::by_code(code).map(|refusal| Self::of(Effect::Refuse(refusal)))
    }
}

/// The switches of all services. Clones share them.
#[derive(Clone, Default)]
pub struct Faults(Arc<[Mutex<Switch>; SERVICES]>);

type Schedule = Box<dyn FnMut(u64) -> Option<Fault> + Send>;

#[derive(Default)]
struct Switch {
    next: VecDeque<Fault>,
    schedule: Option<Schedule>,
    /// Requests that the schedule has judged.
    judged: u64,
    standing: Option<Fault>,
}

impl Faults {
    /// The next `count` requests to `service` meet `fault`; after those queued before.
    pub fn next(&self, service: Service, count: usize, fault: Fault) {
        self.with(service, |switch| switch.next.extend(std::iter::repeat_n(fault, count)));
    }

    /// Every request to `service` meets `fault`, until it is cleared or replaced.
    pub fn always(&self, service: Service, fault: Fault) {
        self.with(service, |switch| switch.standing = Some(fault));
    }

    /// Asks `decide` about each request to `service`, numbered from 0. It is called under the
    /// service's lock, so it must not touch the switches.
    pub fn schedule(&self, service: Service, decide: impl FnMut(u64) -> Option<Fault> + Send + 'static) {
        self.with(service, |switch| {
            switch.schedule = Some(Box::new(decide));
            switch.judged = 0;
        });
    }

    /// Everything works again at `service`.
    pub fn clear(&self, service: Service) {
        self.with(service, |switch| *switch = Switch::default());
    }

    /// The fault that a request which has just come in meets.
    pub(super) fn draw(&self, service: Service) -> Option<Fault> {
        self.with(service, |switch| {
            if let Some(fault) = switch.next.pop_front() {
                return Some(fault);
            }
            if let Some(decide) = &mut switch.schedule {
                let fault = decide(switch.judged);
                switch.judged += 1;
                if fault.is_some() {
                    return fault;
                }
            }
            switch.standing.clone()
        })
    }

    fn with<T>(&self, service: Service, act: impl FnOnce(&mut Switch) -> T) -> T {
        act(&mut self.0[service as usize].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}
