//! What the program tells about itself: log lines, metrics, and the exchanges that just finished.
//!
//! A worker thread hands a [`Finished`] record to its [`Recorder`] and goes on: it counts the
//! request in cells that no other thread writes, and that is all where nobody reads the record.
//! Else it moves the record into a bounded queue and wakes the [`Collector`] at most once for each
//! batch. The collector runs beside the requests, on the control runtime; it alone redacts,
//! formats, writes the access log and feeds the status page.
//!
//! Nothing here takes a lock or formats text on a worker, blocks on a slow terminal, or keeps what
//! it was not told to keep: when a queue is full the record is dropped and counted, and when it
//! is written it is redacted first.

mod collector;
mod exchange;
pub mod log;
pub mod metrics;
mod recent;
mod recorder;
pub mod redact;
mod redacted;
mod wanted;

use std::sync::Arc;

pub use collector::Collector;
pub use exchange::{Exchange, Failed, Finished, RequestId, Timing, TraceId};
pub use log::{AccessLog, LogOptions, Logging};
pub use metrics::{FetchOutcome, Metrics, RouteId};
pub use recent::{Entry, Event, Phases, Recent, Subscription, TooManySubscribers, timestamp};
pub use recorder::{Connection, Recorder, Side};

use wanted::Wanted;

/// The parts that the rest of the program shares: metrics and recent requests.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    pub recent: Arc<Recent>,
}

impl Telemetry {
    /// Sets up telemetry for `workers` threads: the shared handle, one recorder for each worker
    /// in order, and the collector, which does nothing until it is [run](Collector::run).
    pub fn new(workers: usize, access: AccessLog) -> (Self, Vec<Arc<Recorder>>, Collector) {
        let telemetry =
            Self { metrics: Arc::new(Metrics::new(workers)), recent: Arc::new(Recent::default()) };
        telemetry.metrics.watch_log(access.clone());
        let wanted = Arc::new(Wanted::new());
        let (recorders, queues) = recorder::pairs(workers, &telemetry.metrics, &wanted);
        let collector = Collector::new(queues, wanted, telemetry.clone(), access);
        (telemetry, recorders, collector)
    }
}
