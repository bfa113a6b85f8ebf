//! What `/metrics` tells, in Prometheus' text format. Every name begins with
//! `maskinporten_proxy_`; `docs/metrics.md` lists them.
//!
//! No label takes a value that a request could make up: routes and clients are the configured
//! ones, methods the known ones or `OTHER`.

mod latency;
mod requests;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::log::AccessLog;

pub(super) use latency::add;
pub(super) use requests::Requests;
pub use requests::RouteId;

/// From half a millisecond, a loopback upstream, to the default response timeout.
const LATENCY_BUCKETS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0];

/// The text format's media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How an attempt to get a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// A token came.
    Ok,
    /// Maskinporten (or Altinn) refused, and only a person can mend it.
    Refused,
    /// Anything else: no answer, 5xx, 429, an answer that is not one. It is tried again.
    Unavailable,
}

/// How long something that expires still lives, for a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct Expiry {
    pub client: String,
    pub route: String,
    /// Seconds; 0 where there is none, negative once it is past.
    pub seconds: f64,
}

/// Requests that are over, all routes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// Those of them that somebody failed.
    pub failed: u64,
}

/// The registry and the handles into it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    token_fetches: IntCounterVec,
    token_fetch_seconds: HistogramVec,
    connections: IntGaugeVec,
    reloads: IntCounterVec,
    records_dropped: IntCounter,
    log: OnceLock<AccessLog>,
    sequence: AtomicU64,
}

impl Metrics {
    pub(super) fn new(workers: usize) -> Self {
        let registry = Registry::new();
        let requests = Requests::new(workers);
        let started = Gauge::new(name("start_time_seconds"), "When the process started, in Unix time.")
            .expect("the name is valid");
        started.set(unix(SystemTime::now()));
        let build = IntGaugeVec::new(
            Opts::new(name("build_info"), "Always 1; the version is in the label."),
            &["version"],
        )
        .expect("the names are valid");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let records_dropped = IntCounter::new(
            name("records_dropped_total"),
            "Exchanges that were counted, but are missing from log and status page because a queue was full.",
        )
        .expect("the name is valid");
        let metrics = Self {
            requests,
            token_fetches: counter(
                "token_fetches_total",
                "Attempts to get a token at the token endpoint, by how they ended.",
                &["client", "outcome"],
            ),
            token_fetch_seconds: histogram(
                "token_fetch_seconds",
                "How long attempts to get a token took, an exchange at Altinn included.",
                &["client"],
            ),
            connections: IntGaugeVec::new(
                Opts::new(name("connections"), "Open connections, of clients and to upstreams."),
                &["side"],
            )
            .expect("the names are valid"),
            reloads: counter(
                "config_reloads_total",
                "Times the configuration was read anew, by whether it took effect.",
                &["outcome"],
            ),
            records_dropped,
            log: OnceLock::new(),
            sequence: AtomicU64::new(0),
            registry,
        };
        // Known values are there from the start, so that a rate does not miss the first step.
        for outcome in ["ok", "failed"] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        for side in ["client", "upstream"] {
            metrics.connections.with_label_values(&[side]);
        }
        let collectors: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(started),
            Box::new(build),
            Box::new(metrics.requests.clone()),
            Box::new(metrics.token_fetches.clone()),
            Box::new(metrics.token_fetch_seconds.clone()),
            Box::new(metrics.connections.clone()),
            Box::new(metrics.reloads.clone()),
            Box::new(metrics.records_dropped.clone()),
        ];
        for collector in collectors {
            metrics.registry.register(collector).expect("every name is registered once");
        }
        metrics
    }

    /// The handle of the route with this name, the same one for as long as the process lives;
    /// asked for when a configuration takes effect, not for each request. It takes a lock.
    ///
    /// The series of a route that a later configuration dropped stay as they are, as Prometheus
    /// wants of counters. Beyond 1022 names in one process, further ones share `other`.
    pub fn route(&self, name: &str) -> RouteId {
        self.requests.intern(name)
    }

    /// How many requests are over, and how many of them failed.
    pub fn totals(&self) -> Totals {
        self.requests.totals()
    }

    /// An attempt to get a token is over.
    pub fn token_fetched(&self, client: &str, outcome: FetchOutcome, took: Duration) {
        self.token_fetches.with_label_values(&[client, outcome.name()]).inc();
        self.token_fetch_seconds.with_label_values(&[client]).observe(took.as_secs_f64());
    }

    /// The configuration was read anew.
    pub fn reloaded(&self, took_effect: bool) {
        self.reloads.with_label_values(&[if took_effect { "ok" } else { "failed" }]).inc();
    }

    /// All metrics in the text format. What changes by the clock alone is told by the caller:
    /// the lives of the `tokens` of routes, and of the clients' `certificates` (whose route is
    /// not looked at).
    pub fn render(&self, tokens: &[Expiry], certificates: &[Expiry]) -> String {
        let mut families = self.registry.gather();
        families.extend(expiries(
            "token_expires_seconds",
            "Seconds until the route's token expires; 0 while there is none, negative once it is past.",
            &["client", "route"],
            tokens.iter().map(|token| (vec![token.client.as_str(), &token.route], token.seconds)),
        ));
        families.extend(expiries(
            "certificate_expires_seconds",
            "Seconds until the client's business certificate expires.",
            &["client"],
            certificates.iter().map(|key| (vec![key.client.as_str()], key.seconds)),
        ));
        if let Some(log) = self.log.get() {
            let lines = IntCounter::new(
                name("log_writes_dropped_total"),
                "Writes to the log, of one line or a batch, that were dropped because nobody read them.",
            )
            .expect("the name is valid");
            lines.inc_by(log.dropped());
            families.extend(lines.collect());
        }
        // Prometheus wants no order, but people who read do.
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&families, &mut text)
            .expect("writing to a String does not fail, and no family is empty or nameless");
        text
    }

    pub(super) fn watch_log(&self, log: AccessLog) {
        // A second log for the same metrics is a test's; the first one counts.
        let _ = self.log.set(log);
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(super) fn connections(&self, side: &str) -> prometheus::IntGauge {
        self.connections.with_label_values(&[side])
    }

    pub(super) fn records_dropped(&self) -> &IntCounter {
        &self.records_dropped
    }

    /// Numbers the recorders of this process, so that no two make the same identifiers.
    pub(super) fn next_recorder(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }
}

impl FetchOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

fn name(suffix: &str) -> String {
    format!("maskinporten_proxy_{suffix}")
}

fn counter(suffix: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name(suffix), help), labels).expect("the names are valid")
}

fn histogram(suffix: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name(suffix), help).buckets(LATENCY_BUCKETS.to_vec());
    HistogramVec::new(options, labels).expect("the names are valid and the buckets ascend")
}

/// A gauge family made for one reading, so that what is gone leaves nothing behind.
fn expiries<'a>(
    suffix: &str,
    help: &str,
    labels: &[&str],
    values: impl Iterator<Item = (Vec<&'a str>, f64)>,
) -> Vec<MetricFamily> {
    let gauge = GaugeVec::new(Opts::new(name(suffix), help), labels).expect("the names are valid");
    for (labels, seconds) in values {
        gauge.with_label_values(&labels).set(seconds);
    }
    gauge.collect().into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
