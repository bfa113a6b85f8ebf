//! The worker's end: counting, and a bounded queue to the collector.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::Notify;

use super::exchange::{Exchange, Finished, RequestId};
use super::metrics::{Metrics, add};
use super::wanted::Wanted;
use crate::message::RequestHead;

/// Records that a worker may be ahead of the collector: a hundredth of a second at 200,000
/// requests each second.
pub(super) const QUEUE: usize = 2048;

/// One worker's telemetry. Exchanges begin and end on that worker's thread alone: its counters are
/// fast because nobody else writes them, or anything beside them (pairs of 64 bytes are fetched
/// together).
#[repr(align(128))]
pub struct Recorder {
    worker: usize,
    metrics: Arc<Metrics>,
    wanted: Arc<Wanted>,
    queue: SyncSender<Box<Finished>>,
    link: Arc<Link>,
    clients: prometheus::IntGauge,
    upstreams: prometheus::IntGauge,
    /// Identifiers are a counter under a bijection, so none comes twice.
    next_id: AtomicU64,
    salt: u64,
}

/// Which side of the proxy a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub struct Connection(prometheus::IntGauge);

/// What a worker and the collector tell each other beside the queue.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Link {
    /// Exchanges that nobody wanted a record of. Only the worker writes it.
    left_out: AtomicU64,
    /// How many of them the collector knows of. Only the collector writes it.
    known: AtomicU64,
    /// The collector sleeps. The worker wakes it once, and then not again until it has gone back
    /// to sleep.
    asleep: AtomicBool,
    notify: Arc<Notify>,
}

/// The collector's end of one worker's queue. A record travels in a box: a place in the queue is
/// then a word, and the thousands of them no memory to speak of.
pub(super) struct Queue {
    pub(super) records: Receiver<Box<Finished>>,
    pub(super) link: Arc<Link>,
}

pub(super) fn pairs(
    workers: usize,
    metrics: &Arc<Metrics>,
    wanted: &Arc<Wanted>,
) -> (Vec<Arc<Recorder>>, Vec<Queue>) {
    let notify = Arc::new(Notify::new());
    let salt = RandomState::new().hash_one(std::process::id());
    (0..workers)
        .map(|worker| {
            let (sender, records) = sync_channel(QUEUE);
            let link = Arc::new(Link {
                left_out: AtomicU64::new(0),
                known: AtomicU64::new(0),
                asleep: AtomicBool::new(false),
                notify: Arc::clone(&notify),
            });
            let recorder = Recorder {
                worker,
                metrics: Arc::clone(metrics),
                wanted: Arc::clone(wanted),
                queue: sender,
                link: Arc::clone(&link),
                clients: metrics.connections("client"),
                upstreams: metrics.connections("upstream"),
                // Each recorder has 2^48 numbers of its own.
                next_id: AtomicU64::new(metrics.next_recorder() << 48),
                salt,
            };
            (Arc::new(recorder), Queue { records, link })
        })
        .unzip()
}

impl Recorder {
    /// A request's head is there, as it came. The exchange is counted as under way until it is
    /// dropped. A record is kept of it if the collector has a use for one now and at its end.
    #[inline]
    pub fn begin(self: &Arc<Self>, head: &RequestHead) -> Exchange {
        self.metrics.requests().began(self.worker);
        let number = self.next_id.load(Ordering::Relaxed);
        add(&self.next_id, 1);
        let id = RequestId(scramble(number.wrapping_add(self.salt)));
        Exchange::new(Arc::clone(self), id, head, self.wanted.is_any())
    }

    /// Counts a connection as open.
    pub fn connection(&self, side: Side) -> Connection {
        let gauge = match side {
            Side::Client => &self.clients,
            Side::Upstream => &self.upstreams,
        };
        gauge.inc();
        Connection(gauge.clone())
    }

    /// Counts an exchange that [began](Self::begin), and hands its record to the collector if that
    /// had a use for it at its beginning and has one now. What only the record tells is worked out
    /// by `complete` then.
    pub(super) fn finish(
        &self,
        record: &mut Finished,
        was_wanted: bool,
        complete: impl FnOnce(&mut Finished),
    ) {
        let requests = self.metrics.requests();
        requests.ended(self.worker, record.route, &record.method, record.status, record.failed);
        if record.answered {
            requests.answered(self.worker, record.route, record.timing.connect + record.timing.head);
        }
        if !was_wanted || !self.wanted.take() {
            add(&self.link.left_out, 1);
            return;
        }
        complete(record);
        if self.queue.try_send(Box::new(record.take())).is_err() {
            self.metrics.records_dropped().inc();
        }
        self.link.wake();
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Link {
    /// After a record is in the queue. The order matters: the collector first says that it goes to
    /// sleep and then looks at the queues once more, so that one of the two sees the other.
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.notify.notify_one();
        }
    }

    /// How many exchanges left no record since this was asked last.
    pub(super) fn left_out(&self) -> u64 {
        let all = self.left_out.load(Ordering::Relaxed);
        all.wrapping_sub(self.known.swap(all, Ordering::Relaxed))
    }

    pub(super) fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::SeqCst);
    }

    pub(super) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }
}

/// The finaliser of SplitMix64, a bijection of 64-bit numbers.
fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
