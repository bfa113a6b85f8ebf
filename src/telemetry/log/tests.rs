use std::io::Write;
use std::sync::{Arc, Mutex};

use ::http::{HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::*;
use crate::message::{Fields, Name, RequestHead};
use crate::telemetry::{Collector, Failed, Recorder, Telemetry};

/// What the log's thread writes into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct House {
    out: Shared,
    sink: Sink,
    access: AccessLog,
    _default: tracing::subscriber::DefaultGuard,
}

impl House {
    fn new(format: Format, filter: &str, ansi: bool) -> Self {
        let options = LogOptions { format, filter: filter.to_owned(), ansi };
        let out = Shared::default();
        let sink = Sink::start(out.clone()).unwrap();
        let default = tracing::subscriber::set_default(subscriber(&options, sink.clone()).unwrap());
        let access = AccessLog::new(&options, sink.clone());
        Self { out, sink, access, _default: default }
    }

    fn text(&self) -> String {
        self.sink.flush();
        String::from_utf8(self.out.0.lock().unwrap().clone()).unwrap()
    }

    async fn served(&self) -> String {
        let (_, recorders, collector) = Telemetry::new(1, self.access.clone());
        serve(&recorders[0]);
        stop(collector).await;
        self.text()
    }
}

/// One exchange that fails, with everything in it that a line can hold.
fn serve(recorder: &Arc<Recorder>) {
    let uri = "/personer/17912099997?access_token=hemmelig".parse().unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut fields = Fields::new();
    fields.append_known(Name::Host, HeaderValue::from_static("localhost:8080"));
    fields.append_known(Name::Traceparent, HeaderValue::from_static(parent));
    let mut exchange =
        recorder.begin(&RequestHead { method: Method::POST, uri, fields, ..RequestHead::default() });
    exchange.set_status(StatusCode::BAD_GATEWAY);
    exchange.received(12);
    exchange.fail(Failed::Token, Some("MP-200\n\x1b[31mred".into()));
}

async fn stop(collector: Collector) {
    collector.run(std::future::ready(())).await;
}

#[tokio::test]
async fn every_request_has_its_line_however_many_the_page_shows() {
    let house = House::new(Format::Json, "info", false);
    let (telemetry, recorders, collector) = Telemetry::new(1, house.access.clone());
    for _ in 0..1500 {
        serve(&recorders[0]);
    }
    stop(collector).await;
    assert_eq!(house.text().lines().count(), 1500);
    assert_eq!(telemetry.recent.entries().len(), 500);
}

#[tokio::test]
async fn a_request_is_one_line_of_json() {
    let text = House::new(Format::Json, "info", false).served().await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "maskinporten_proxy::access");
    assert_eq!(line["message"], "request");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/personer/***********");
    assert_eq!(line["status"], 502);
    assert_eq!(line["failed"], "token");
    assert_eq!(line["bytes_in"], 12);
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["request_id"].as_str().unwrap().len(), 13);
    assert!(line["duration_ms"].is_number());
    assert!(!text.contains("hemmelig"));
}

#[tokio::test]
async fn a_request_is_one_line_for_people() {
    let text = House::new(Format::Human, "info", false).served().await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let (time, rest) = text.split_once("Z  INFO ").expect("a timestamp and the level");
    assert_eq!(time.len(), "2026-11-23T16:56:17.123456".len());
    assert!(rest.starts_with("maskinporten_proxy::access: POST /personer/*********** 502 "), "{text}");
    assert!(rest.contains(" failed=token MP-200\\n\\u{1b}[31mred "), "no control character passes: {text}");
    assert!(rest.contains(" trace_id=4bf92f3577b34da6a3ce929d0e0e4736"), "{text}");
    assert!(!text.contains("hemmelig") && !text.contains('\x1b'), "{text}");
    let coloured = House::new(Format::Human, "info", true).served().await;
    assert!(coloured.contains("\x1b[31m502\x1b[0m"), "{coloured}");
}

#[tokio::test]
async fn the_filter_decides_about_request_lines() {
    for (filter, written) in [
        ("info", true),
        ("warn", false),
        ("warn,maskinporten_proxy::access=info", true),
        ("trace,maskinporten_proxy::access=off", false),
        ("off", false),
    ] {
        let text = House::new(Format::Json, filter, false).served().await;
        assert_eq!(!text.is_empty(), written, "{filter}: {text}");
    }
}

#[test]
fn events_are_written_in_both_formats() {
    let house = House::new(Format::Json, "info", false);
    tracing::info!(target: "maskinporten_proxy::oauth", client = "test", "token fetched");
    tracing::debug!(target: "maskinporten_proxy::oauth", "not at info");
    let line: Value = serde_json::from_str(&house.text()).unwrap();
    assert_eq!((&line["message"], &line["client"]), (&"token fetched".into(), &"test".into()));
    drop(house);
    let house = House::new(Format::Human, "debug", false);
    tracing::debug!(target: "maskinporten_proxy::oauth", client = "test", "token fetched");
    let text = house.text();
    assert!(text.ends_with("DEBUG maskinporten_proxy::oauth: token fetched client=\"test\"\n"), "{text}");
}

#[test]
fn other_crates_are_not_heard_below_info_whatever_the_filter_says() {
    for filter in ["trace", "h2=trace,hyper=trace,trace", "maskinporten_proxy_like=trace"] {
        let house = House::new(Format::Human, filter, false);
        tracing::trace!(target: "h2::codec", "canary");
        tracing::debug!(target: "hyper::proto", "canary");
        tracing::debug!(target: "maskinporten_proxy_like", "canary");
        let _span = tracing::trace_span!(target: "h2", "canary", header = "canary").entered();
        tracing::trace!(target: "maskinporten_proxy", "our own");
        tracing::info!(target: "h2", "theirs at info");
        let text = house.text();
        assert!(!text.contains("canary"), "{text}");
        // The positive control: lines do arrive, ours at every level.
        assert_eq!(text.contains("our own"), !filter.contains("like"), "{text}");
        assert_eq!(text.contains("theirs at info"), !filter.contains("like"), "{text}");
    }
}

#[test]
fn what_slips_into_a_line_is_masked() {
    for format in [Format::Human, Format::Json] {
        let house = House::new(format, "trace", false);
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl";
        tracing::error!(target: "maskinporten_proxy", detail = %format!("Bearer {token}"), "pid 17912099997");
        let text = house.text();
        assert!(text.contains("***"), "{text}");
        assert!(!text.contains("eyJ") && !text.contains("17912099997"), "{text}");
    }
}

#[test]
fn a_filter_that_is_none_is_told() {
    let options = LogOptions { format: Format::Json, filter: "info,=x=y".to_owned(), ansi: false };
    let error = subscriber(&options, Sink::start(io::sink()).unwrap()).err().expect("it is refused");
    assert!(error.to_string().contains("info,=x=y"), "{error}");
}

/// A reader of stderr that has stopped reading.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Until the test lets go.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_stalls_costs_lines_and_no_time() {
    let (release, held) = std::sync::mpsc::channel();
    let sink = Sink::start(Stuck(held)).unwrap();
    let line = vec![b'x'; 64 * 1024];
    // Twice what may wait; a sink that blocked would never come out of this.
    for _ in 0..128 {
        sink.write(&line);
    }
    let dropped = sink.dropped();
    assert!((32..128).contains(&dropped), "{dropped}");
    drop(release);
    sink.flush();
    sink.write(&line);
    assert_eq!(sink.dropped(), dropped, "there is room again");
}
