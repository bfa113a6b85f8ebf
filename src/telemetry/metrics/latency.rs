//! A histogram of which one thread fills the cells, so that observing takes no lock, looks
//! nothing up and fights over no cache line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto::{Bucket, Histogram};

use super::LATENCY_BUCKETS;

/// One writer's observations: a count for each bucket, the last one for what is beyond all bounds.
pub(super) struct Latency {
    counts: [AtomicU64; LATENCY_BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; LATENCY_BUCKETS.len() + 1],
            nanoseconds: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_BUCKETS.partition_point(|bound| *bound < seconds);
        add(&self.counts[bucket], 1);
        // 584 years of waiting fit in.
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.nanoseconds, nanoseconds);
    }
}

/// Adds to a cell that no other thread writes.
pub(in crate::telemetry) fn add(cell: &AtomicU64, number: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

/// All writers' observations together; `None` while there are none.
pub(super) fn histogram<'a>(writers: impl Iterator<Item = &'a Latency> + Clone) -> Option<Histogram> {
    let mut count = 0;
    let mut buckets = Vec::with_capacity(LATENCY_BUCKETS.len());
    for at in 0..=LATENCY_BUCKETS.len() {
        count += writers.clone().map(|latency| latency.counts[at].load(Ordering::Relaxed)).sum::<u64>();
        // The bucket without a bound is the count of all, which the text format adds itself.
        if let Some(bound) = LATENCY_BUCKETS.get(at) {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(*bound);
            buckets.push(bucket);
        }
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(count);
    let nanoseconds = writers.map(|latency| latency.nanoseconds.load(Ordering::Relaxed)).sum();
    histogram.set_sample_sum(Duration::from_nanos(nanoseconds).as_secs_f64());
    histogram.set_bucket(buckets);
    (count > 0).then_some(histogram)
}
