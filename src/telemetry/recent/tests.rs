use ::http::{Method, StatusCode};
use bytes::Bytes;

use std::time::{Duration, Instant};

use super::*;
use crate::telemetry::redacted::Dates;
use crate::telemetry::{Finished, RequestId, RouteId, Timing};

fn finished(uri: &str) -> Finished {
    Finished {
        id: RequestId(7),
        started: Instant::now(),
        method: Method::GET,
        uri: uri.parse().unwrap(),
        host: Some(Bytes::from_static(b"localhost:8080")),
        route: RouteId::NONE,
        status: Some(StatusCode::OK),
        failed: None,
        detail: None,
        answered: false,
        timing: Timing { total: Duration::from_micros(1500), ..Timing::default() },
        received: 0,
        sent: 5,
        trace: None,
    }
}

fn entry(uri: &str) -> Entry {
    let record = finished(uri);
    Entry::new(&Redacted::new(&record, Some("clients"), Dates::new().of(&record)), Some("clients".into()))
}

#[test]
fn an_entry_is_redacted_when_it_is_made() {
    for (uri, path, form) in [
        ("/a?access_token=abc&x=1", "/a?access_token=***&x=1", "origin"),
        ("/personer/17912099997", "/personer/***********", "origin"),
        ("/a%2Fb//c?", "/a%2Fb//c?", "origin"),
        ("http://api.example.no/a?code=1", "http://api.example.no/a?code=***", "absolute"),
        ("http://user:secret@api.example.no/a", "http://api.example.no/a", "absolute"),
        ("api.example.no:443", "api.example.no:443", "authority"),
        ("*", "*", "asterisk"),
    ] {
        let entry = entry(uri);
        assert_eq!((entry.path.as_str(), entry.form), (path, form), "{uri}");
    }
    let record = finished("/a/b?c=d");
    assert_eq!(Redacted::new(&record, None, "").path, "/a/b");
}

#[test]
fn an_entry_is_dated_by_the_wall_clock() {
    let mut record = finished("/");
    let now = Instant::now() + Duration::from_secs(10);
    record.started = now - Duration::from_millis(2500);
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    let mut dates = Dates::new();
    dates.set_now((wall, now));
    let entry = Entry::new(&Redacted::new(&record, None, dates.of(&record)), None);
    assert_eq!(entry.time, "2025-06-15T15:06:37.500000Z");
    assert_eq!(entry.duration_ms, 1.5);
}

#[test]
fn the_ring_keeps_the_newest() {
    let recent = Recent::default();
    for number in 0..KEPT + 20 {
        recent.push(entry(&format!("/{number}")));
    }
    let entries = recent.entries();
    assert_eq!(entries.len(), KEPT);
    assert_eq!(entries[0].path, format!("/{}", KEPT + 19));
    assert_eq!(entries[KEPT - 1].path, "/20");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_skips_and_is_told() {
    let recent = Recent::default();
    let mut slow = recent.subscribe().unwrap();
    for number in 0..BEHIND + 10 {
        recent.push(entry(&format!("/{number}")));
    }
    for number in 0..BEHIND {
        let Some(Event::Finished(json)) = slow.next().await else { panic!("an entry") };
        assert!(json.contains(&format!("\"path\":\"/{number}\"")), "{json}");
    }
    recent.push(entry("/after"));
    assert!(matches!(slow.next().await, Some(Event::Skipped(10))));
    let Some(Event::Finished(json)) = slow.next().await else { panic!("an entry") };
    assert!(json.contains("/after"));
}

#[tokio::test]
async fn subscribers_are_bounded_and_their_places_come_back() {
    let recent = Recent::default();
    let mut all: Vec<_> = (0..SUBSCRIBERS).map(|_| recent.subscribe().unwrap()).collect();
    assert_eq!(recent.subscribe().unwrap_err(), TooManySubscribers);
    all.pop();
    assert!(recent.subscribe().is_ok());
}

#[tokio::test]
async fn closing_ends_the_streams_there_are_and_those_to_come() {
    let recent = Recent::default();
    let mut before = recent.subscribe().unwrap();
    recent.push(entry("/last"));
    recent.close();
    assert!(matches!(before.next().await, Some(Event::Finished(_))), "what was sent is not lost");
    assert!(before.next().await.is_none());
    assert!(recent.subscribe().unwrap().next().await.is_none());
}
