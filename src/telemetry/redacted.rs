//! A record as it may be seen: what its client wrote is redacted, and borrowed wherever there was
//! nothing to redact, so that a line of the access log is written without making a string.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::exchange::Finished;
use super::recent::{Phases, timestamp};
use super::redact;

/// For the access log. The query is not in it, which may hold what no log should.
pub(super) struct Redacted<'a> {
    pub(super) record: &'a Finished,
    /// When the request's head had arrived.
    pub(super) time: &'a str,
    pub(super) route: Option<&'a str>,
    pub(super) method: Cow<'a, str>,
    /// The request target as it came, but for userinfo and query.
    pub(super) path: Cow<'a, str>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) detail: Option<Cow<'a, str>>,
}

/// Writes the times of records, most of which fall into the second of the one before.
pub(super) struct Dates {
    /// The same moment by both clocks, which dates a record.
    now: (SystemTime, Instant),
    second: Option<u64>,
    text: String,
}

impl<'a> Redacted<'a> {
    pub(super) fn new(record: &'a Finished, route: Option<&'a str>, time: &'a str) -> Self {
        Self {
            record,
            time,
            route,
            method: redact::text(record.method.as_str()),
            path: target(record),
            host: record.host.as_ref().map(|host| match String::from_utf8_lossy(host) {
                Cow::Borrowed(host) => redact::text(host),
                Cow::Owned(host) => redact::text(&host).into_owned().into(),
            }),
            detail: record.detail.as_ref().map(|detail| redact::text(detail)),
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.record.status.map(|status| status.as_u16())
    }

    pub(super) fn duration_ms(&self) -> f64 {
        milliseconds(self.record.timing.total)
    }

    pub(super) fn phases(&self) -> Phases {
        let timing = &self.record.timing;
        Phases {
            token: milliseconds(timing.token),
            connect: milliseconds(timing.connect),
            head: milliseconds(timing.head),
            body: milliseconds(timing.body),
        }
    }
}

impl Dates {
    /// Where the fraction stands in `2025-06-15T15:06:37.500000Z`.
    const FRACTION: std::ops::Range<usize> = 20..26;

    pub(super) fn new() -> Self {
        Self { now: (SystemTime::now(), Instant::now()), second: None, text: String::new() }
    }

    /// Sets the moment by which records are dated. A clock that was set is followed from here on.
    pub(super) fn set_now(&mut self, now: (SystemTime, Instant)) {
        self.now = now;
    }

    /// When `record` began.
    pub(super) fn of(&mut self, record: &Finished) -> &str {
        let started = self.now.0 - self.now.1.saturating_duration_since(record.started);
        let since = started.duration_since(UNIX_EPOCH).ok();
        let second = since.map(|since| since.as_secs());
        if second.is_some() && second == self.second && self.text.len() > Self::FRACTION.end {
            let mut left = since.map_or(0, |since| since.subsec_micros());
            let mut digits = [0; 6];
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
            let digits = std::str::from_utf8(&digits).expect("digits are ASCII");
            self.text.replace_range(Self::FRACTION, digits);
        } else {
            self.text = timestamp(started);
            self.second = second;
        }
        &self.text
    }
}

fn target(record: &Finished) -> Cow<'_, str> {
    let uri = &record.uri;
    let path = match uri.path_and_query() {
        Some(_) => redact::path(uri.path()),
        None => Cow::Borrowed(""),
    };
    let Some(authority) = uri.authority() else { return path };
    let mut target = String::new();
    if let Some(scheme) = uri.scheme_str() {
        target.push_str(scheme);
        target.push_str("://");
    }
    // Userinfo would be a password; the proxy refuses it, but the record is made before.
    let authority = authority.as_str();
    target.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    target.push_str(&path);
    target.into()
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use ::http::{Method, Uri};

    use super::*;
    use crate::telemetry::{RequestId, RouteId, Timing};

    #[test]
    fn a_date_is_the_same_whether_or_not_its_second_was_written_before() {
        let mut record = Finished {
            id: RequestId(1),
            started: Instant::now(),
            method: Method::GET,
            uri: Uri::from_static("/"),
            host: None,
            route: RouteId::NONE,
            status: None,
            failed: None,
            detail: None,
            answered: false,
            timing: Timing::default(),
            received: 0,
            sent: 0,
            trace: None,
        };
        let (wall, monotonic) = (UNIX_EPOCH + Duration::from_secs(1_750_000_000), record.started);
        let mut dates = Dates::new();
        for micros in [0, 7, 999_999, 1_000_000, 1_000_001, 59_123_456, 59_123_457, 3, 4] {
            dates.set_now((wall + Duration::from_micros(micros), monotonic));
            assert_eq!(dates.of(&record), timestamp(wall + Duration::from_micros(micros)));
        }
        // Back in time, by a clock that was set, and by a record that began earlier.
        dates.set_now((UNIX_EPOCH - Duration::from_micros(1_500_000), monotonic));
        assert_eq!(dates.of(&record), "1969-12-31T23:59:58.500000Z");
        dates.set_now((wall, monotonic + Duration::from_millis(2500)));
        assert_eq!(dates.of(&record), "2025-06-15T15:06:37.500000Z");
        record.started += Duration::from_millis(250);
        assert_eq!(dates.of(&record), "2025-06-15T15:06:37.750000Z");
    }
}
