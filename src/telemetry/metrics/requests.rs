//! `requests_total`, `requests_in_flight` and `upstream_seconds`: cells of which each worker writes
//! its own.
//!
//! A worker adds to memory that no other worker writes, found by two indices; nothing is looked
//! up by label and no cache line is fought over. Reading adds the workers' cells together.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ::http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::super::exchange::Failed;
use super::latency::{self, Latency, add};
use super::{Totals, name};

/// The label of requests that no route took, and of those that did not fail.
const NONE: &str = "none";

const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"];
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", NONE];
const FAILED: [&str; 5] = ["client", "guard", "token", "upstream", NONE];
const CELLS: usize = METHODS.len() * CLASSES.len() * FAILED.len();

/// Names of routes in one process, reloads included.
const ROUTES: usize = 1024;

/// A configured route's place in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(u16);

/// Shared by the workers, which count, and the registry, which reads.
#[derive(Clone)]
pub(in crate::telemetry) struct Requests(Arc<Shared>);

struct Shared {
    workers: usize,
    /// Filled from the front and never emptied, so that a worker reads it without a lock.
    routes: Box<[OnceLock<Route>]>,
    names: Mutex<HashMap<String, RouteId>>,
    in_flight: Box<[OwnLine<AtomicI64>]>,
    total: Desc,
    gauge: Desc,
    upstream: Desc,
}

struct Route {
    name: Arc<str>,
    cells: Box<[WorkerCells]>,
}

/// One worker's counts for one route. The alignment keeps two workers off one cache line (pairs
/// of 64 bytes are fetched together).
#[repr(align(128))]
struct WorkerCells {
    requests: [AtomicU64; CELLS],
    upstream: Latency,
}

#[repr(align(128))]
struct OwnLine<T>(T);

impl RouteId {
    /// For requests that no route took.
    pub const NONE: Self = Self(0);
    /// For routes beyond the number of names that are kept apart.
    const OTHER: Self = Self(1);
}

impl Requests {
    pub(super) fn new(workers: usize) -> Self {
        let labels = ["route", "method", "status", "failed"].map(str::to_owned).to_vec();
        let requests = Self(Arc::new(Shared {
            workers,
            routes: std::iter::repeat_with(OnceLock::new).take(ROUTES).collect(),
            names: Mutex::default(),
            in_flight: std::iter::repeat_with(|| OwnLine(AtomicI64::new(0))).take(workers).collect(),
            total: Desc::new(
                name("requests_total"),
                "Requests that are over, by route, method, class of the status and who failed.".to_owned(),
                labels,
                HashMap::new(),
            )
            .expect("the names are valid"),
            gauge: Desc::new(
                name("requests_in_flight"),
                "Requests under way, tunnels and upgraded connections included.".to_owned(),
                Vec::new(),
                HashMap::new(),
            )
            .expect("the name is valid"),
            upstream: Desc::new(
                name("upstream_seconds"),
                "From the request being ready for its upstream to the response's head, connecting included."
                    .to_owned(),
                vec!["route".to_owned()],
                HashMap::new(),
            )
            .expect("the names are valid"),
        }));
        requests.intern(NONE);
        requests.intern("other");
        requests
    }

    pub(super) fn intern(&self, name: &str) -> RouteId {
        let mut names = self.names();
        if let Some(id) = names.get(name) {
            return *id;
        }
        let place = names.len();
        let (Some(slot), Ok(id)) = (self.0.routes.get(place), u16::try_from(place)) else {
            return RouteId::OTHER;
        };
        slot.get_or_init(|| Route {
            name: name.into(),
            cells: std::iter::repeat_with(WorkerCells::new).take(self.0.workers).collect(),
        });
        names.insert(name.to_owned(), RouteId(id));
        RouteId(id)
    }

    /// The route's name; `None` for [`RouteId::NONE`].
    pub(in crate::telemetry) fn route_name(&self, route: RouteId) -> Option<Arc<str>> {
        if route == RouteId::NONE {
            return None;
        }
        self.route(route).map(|route| Arc::clone(&route.name))
    }

    /// A request began. To be called by that worker alone, as all that counts: a cell with one writer
    /// needs no locked instruction.
    pub(in crate::telemetry) fn began(&self, worker: usize) {
        if let Some(cell) = self.0.in_flight.get(worker) {
            cell.0.store(cell.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// A request that [began](Self::began) is over.
    pub(in crate::telemetry) fn ended(
        &self,
        worker: usize,
        route: RouteId,
        method: &Method,
        status: Option<StatusCode>,
        failed: Option<Failed>,
    ) {
        if let Some(cell) = self.0.in_flight.get(worker) {
            cell.0.store(cell.0.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
        if let Some(cells) = self.route(route).and_then(|route| route.cells.get(worker)) {
            add(&cells.requests[index(method, status, failed)], 1);
        }
    }

    /// The upstream's response head came so long after the request was ready for it.
    pub(in crate::telemetry) fn answered(&self, worker: usize, route: RouteId, after: Duration) {
        if let Some(cells) = self.route(route).and_then(|route| route.cells.get(worker)) {
            cells.upstream.observe(after);
        }
    }

    /// All cells added together.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for cells in self.0.routes.iter().map_while(OnceLock::get).flat_map(|route| route.cells.iter()) {
            for (at, cell) in cells.requests.iter().enumerate() {
                let count = cell.load(Ordering::Relaxed);
                totals.requests += count;
                if FAILED[at % FAILED.len()] != NONE {
                    totals.failed += count;
                }
            }
        }
        totals
    }

    fn route(&self, id: RouteId) -> Option<&Route> {
        self.0.routes.get(usize::from(id.0))?.get()
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, RouteId>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Requests {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.total, &self.0.gauge, &self.0.upstream]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let in_flight: i64 = self.0.in_flight.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum();
        let mut gauge = Gauge::default();
        // Cells are read one after the other, so a request that moves may be seen half.
        gauge.set_value(in_flight.max(0) as f64);
        let routes = || self.0.routes.iter().map_while(OnceLock::get);
        vec![
            family(&self.0.total, MetricType::COUNTER, routes().flat_map(Route::counts).collect()),
            family(&self.0.gauge, MetricType::GAUGE, vec![Metric::from_gauge(gauge)]),
            family(&self.0.upstream, MetricType::HISTOGRAM, routes().filter_map(Route::upstream).collect()),
        ]
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("workers", &self.0.workers).finish_non_exhaustive()
    }
}

impl Route {
    /// A series for each combination that has occurred.
    fn counts(&self) -> Vec<Metric> {
        (0..CELLS)
            .filter_map(|at| {
                let count: u64 =
                    self.cells.iter().map(|cells| cells.requests[at].load(Ordering::Relaxed)).sum();
                (count > 0).then(|| self.metric(at, count))
            })
            .collect()
    }

    /// `None` while no upstream has answered.
    fn upstream(&self) -> Option<Metric> {
        let histogram = latency::histogram(self.cells.iter().map(|cells| &cells.upstream))?;
        let mut metric = Metric::from_label(vec![label("route", &self.name)]);
        metric.set_histogram(histogram);
        Some(metric)
    }

    fn metric(&self, at: usize, count: u64) -> Metric {
        let failed = FAILED[at % FAILED.len()];
        let class = CLASSES[at / FAILED.len() % CLASSES.len()];
        let method = METHODS[at / (FAILED.len() * CLASSES.len())];
        let labels = [("failed", failed), ("method", method), ("route", &*self.name), ("status", class)];
        let mut metric = Metric::from_label(labels.map(|(name, value)| label(name, value)).to_vec());
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        metric.set_counter(counter);
        metric
    }
}

impl WorkerCells {
    fn new() -> Self {
        Self { requests: [const { AtomicU64::new(0) }; CELLS], upstream: Latency::new() }
    }
}

fn index(method: &Method, status: Option<StatusCode>, failed: Option<Failed>) -> usize {
    let method = match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        Method::PATCH => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => 9,
    };
    let class = match status.map(|status| status.as_u16() / 100) {
        Some(class @ 1..=5) => usize::from(class) - 1,
        _ => 5,
    };
    let failed = match failed {
        Some(Failed::Client) => 0,
        Some(Failed::Guard) => 1,
        Some(Failed::Token) => 2,
        Some(Failed::Upstream) => 3,
        None => 4,
    };
    (method * CLASSES.len() + class) * FAILED.len() + failed
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
