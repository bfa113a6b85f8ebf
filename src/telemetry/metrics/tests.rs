use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::http::{Method, StatusCode};

use super::*;
use crate::telemetry::Failed;

/// A sample as a strict reader of the text format sees it.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the text format by its published grammar and refuses whatever is outside it: samples
/// without a `TYPE`, families in pieces, series twice, names and labels of wrong characters.
fn parse(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let mut family = String::new();
    let mut seen = BTreeSet::new();
    assert!(text.ends_with('\n'), "the last line ends too");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (keyword, rest) = rest.split_once(' ').expect("HELP or TYPE with a name");
            let (name, value) = rest.split_once(' ').expect("a value");
            assert!(is_name(name), "{line}");
            match keyword {
                "HELP" => assert!(!types.contains_key(name), "{name} comes in one piece"),
                "TYPE" => {
                    assert!(matches!(value, "counter" | "gauge" | "histogram"), "{line}");
                    assert!(types.insert(name.to_owned(), value.to_owned()).is_none(), "{name} comes once");
                    family = name.to_owned();
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let sample = parse_sample(line);
        let base = match types[&family].as_str() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| sample.name.strip_suffix(suffix))
                .expect("a histogram's sample"),
            _ => &sample.name,
        };
        assert_eq!(base, family, "{line}");
        assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "{line} comes once");
        samples.push(sample);
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let (name, mut rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect("a quoted value");
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} comes once");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("one space").parse().expect("a number, no timestamp");
    Sample { name: name.to_owned(), labels, value }
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escape").1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                c => panic!("no such escape: {c}"),
            },
            c => value.push(c),
        }
    }
    panic!("the value does not end: {text}");
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: BTreeMap<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    samples.iter().find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let metrics = Metrics::new(2);
    let hostile = "a\"b\\c\nd{},";
    let route = metrics.route(hostile);
    metrics.requests().began(0);
    metrics.requests().ended(0, route, &Method::GET, Some(StatusCode::OK), None);
    metrics.requests().answered(0, route, Duration::from_millis(3));
    metrics.token_fetched("test", FetchOutcome::Refused, Duration::from_millis(120));
    metrics.reloaded(true);
    let expiry = Expiry { client: "test".to_owned(), route: hostile.to_owned(), seconds: -3.5 };
    let samples = parse(&metrics.render(std::slice::from_ref(&expiry), std::slice::from_ref(&expiry)));

    assert!(samples.iter().all(|sample| sample.name.starts_with("maskinporten_proxy_")));
    let labels = [("route", hostile), ("method", "GET"), ("status", "2xx"), ("failed", "none")];
    assert_eq!(value(&samples, "maskinporten_proxy_requests_total", &labels), Some(1.0));
    let labels = [("client", "test"), ("outcome", "refused")];
    assert_eq!(value(&samples, "maskinporten_proxy_token_fetches_total", &labels), Some(1.0));
    let labels = [("client", "test"), ("route", hostile)];
    assert_eq!(value(&samples, "maskinporten_proxy_token_expires_seconds", &labels), Some(-3.5));
    let labels = [("client", "test")];
    assert_eq!(value(&samples, "maskinporten_proxy_certificate_expires_seconds", &labels), Some(-3.5));
    assert_eq!(value(&samples, "maskinporten_proxy_token_fetch_seconds_count", &labels), Some(1.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value(&samples, "maskinporten_proxy_build_info", &version), Some(1.0));
}

#[test]
fn a_histogram_is_cumulative_up_to_infinity() {
    let metrics = Metrics::new(1);
    let route = metrics.route("clients");
    for milliseconds in [0, 3, 3, 70_000] {
        metrics.requests().answered(0, route, Duration::from_millis(milliseconds));
    }
    let samples = parse(&metrics.render(&[], &[]));
    let bucket = |le| {
        let labels = [("route", "clients"), ("le", le)];
        value(&samples, "maskinporten_proxy_upstream_seconds_bucket", &labels).unwrap()
    };
    assert_eq!(["0.0005", "0.0025", "0.005", "60", "+Inf"].map(bucket), [1.0, 1.0, 3.0, 3.0, 4.0]);
    let labels = [("route", "clients")];
    assert_eq!(value(&samples, "maskinporten_proxy_upstream_seconds_count", &labels), Some(4.0));
}

#[test]
fn requests_are_added_up_over_the_workers() {
    let metrics = Metrics::new(3);
    let route = metrics.route("clients");
    for worker in 0..3 {
        metrics.requests().began(worker);
        metrics.requests().began(worker);
        metrics.requests().ended(
            worker,
            route,
            &Method::POST,
            Some(StatusCode::BAD_GATEWAY),
            Some(Failed::Token),
        );
    }
    let samples = parse(&metrics.render(&[], &[]));
    let labels = [("route", "clients"), ("method", "POST"), ("status", "5xx"), ("failed", "token")];
    assert_eq!(value(&samples, "maskinporten_proxy_requests_total", &labels), Some(3.0));
    assert_eq!(value(&samples, "maskinporten_proxy_requests_in_flight", &[]), Some(3.0));
}

#[test]
fn no_request_can_make_up_a_label() {
    let metrics = Metrics::new(1);
    for (method, status) in [("PROPFIND", 999), ("X", 200), ("get", 600)] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        metrics.requests().ended(0, RouteId::NONE, &method, StatusCode::from_u16(status).ok(), None);
    }
    metrics.requests().ended(0, RouteId::NONE, &Method::GET, None, Some(Failed::Client));
    let samples = parse(&metrics.render(&[], &[]));
    let count = |method, status, failed| {
        let labels = [("route", "none"), ("method", method), ("status", status), ("failed", failed)];
        value(&samples, "maskinporten_proxy_requests_total", &labels)
    };
    assert_eq!(count("OTHER", "2xx", "none"), Some(1.0));
    assert_eq!(count("OTHER", "none", "none"), Some(2.0));
    assert_eq!(count("GET", "none", "client"), Some(1.0));
}

#[test]
fn every_combination_has_a_cell_of_its_own() {
    let metrics = Metrics::new(1);
    let route = metrics.route("clients");
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];
    let statuses = [Some(101), Some(200), Some(304), Some(404), Some(503), None];
    let failures = Failed::ALL.map(Some).into_iter().chain([None]);
    let mut expected = BTreeMap::new();
    let mut times = 0;
    for failed in failures {
        for status in statuses {
            for method in methods {
                times += 1;
                let class = status.map_or("none".to_owned(), |status: u16| format!("{}xx", status / 100));
                let label = if method == "QUERY" { "OTHER" } else { method };
                let failure = failed.map_or("none", Failed::name);
                expected.insert((label.to_owned(), class, failure.to_owned()), f64::from(times));
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let status = status.map(|status| StatusCode::from_u16(status).unwrap());
                for _ in 0..times {
                    metrics.requests().ended(0, route, &method, status, failed);
                }
            }
        }
    }
    let found: BTreeMap<_, _> = parse(&metrics.render(&[], &[]))
        .into_iter()
        .filter(|sample| sample.name == "maskinporten_proxy_requests_total")
        .map(|mut sample| {
            let mut take = |name| sample.labels.remove(name).unwrap();
            ((take("method"), take("status"), take("failed")), sample.value)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn routes_keep_their_place_and_their_number_is_bounded() {
    let metrics = Metrics::new(1);
    let first = metrics.route("first");
    assert_eq!(metrics.route("first"), first);
    assert_ne!(metrics.route("second"), first);
    assert_eq!(metrics.requests().route_name(first), Some(Arc::from("first")));
    assert_eq!(metrics.requests().route_name(RouteId::NONE), None);
    let last = (0..2000).map(|number| metrics.route(&format!("route {number}"))).last().unwrap();
    assert_eq!(metrics.requests().route_name(last), Some(Arc::from("other")));
    assert_eq!(metrics.route("first"), first);
}

#[test]
fn what_is_gone_leaves_no_gauge_behind() {
    let metrics = Metrics::new(1);
    let expiry = Expiry { client: "test".to_owned(), route: "clients".to_owned(), seconds: 5.0 };
    assert!(metrics.render(&[expiry], &[]).contains("token_expires_seconds"));
    assert!(!metrics.render(&[], &[]).contains("token_expires_seconds"));
}

/// Every name of ours in `text`, without what a histogram adds to it.
fn names_in(text: &str) -> BTreeSet<String> {
    text.match_indices("maskinporten_proxy_")
        .map(|(at, _)| {
            let name: String =
                text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            name.trim_end_matches("_bucket").trim_end_matches("_").to_owned()
        })
        .filter(|name| name != "maskinporten_proxy")
        .collect()
}

/// Every family there is, each used once.
fn families() -> BTreeSet<String> {
    let (telemetry, ..) = crate::telemetry::Telemetry::new(1, AccessLog::off());
    let metrics = telemetry.metrics;
    let route = metrics.route("clients");
    metrics.requests().ended(0, route, &Method::GET, Some(StatusCode::OK), None);
    metrics.requests().answered(0, route, Duration::from_millis(3));
    metrics.token_fetched("test", FetchOutcome::Ok, Duration::from_millis(3));
    let expiry = Expiry { client: "test".to_owned(), route: "clients".to_owned(), seconds: 5.0 };
    let text = metrics.render(std::slice::from_ref(&expiry), std::slice::from_ref(&expiry));
    text.lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_owned()))
        .collect()
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let page = include_str!("../../../docs/metrics.md");
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| format!("maskinporten_proxy_{name}"))
        .collect();
    assert_eq!(listed, families());
    assert!(names_in(page).is_subset(&families()));
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let dashboard = include_str!("../../../docs/grafana/dashboard.json");
    let alerts = include_str!("../../../docs/grafana/alerts.yaml");
    assert!(serde_json::from_str::<serde_json::Value>(dashboard).is_ok());
    for text in [dashboard, alerts] {
        let unknown: Vec<_> = names_in(text).difference(&families()).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(names_in(text).len() > 3, "the search finds names");
    }
}
