//! The reader of the workers' queues, on the control runtime.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Telemetry;
use super::exchange::Finished;
use super::log::AccessLog;
use super::recent::Entry;
use super::recorder::{QUEUE, Queue};
use super::redacted::{Dates, Redacted};
use super::wanted::{Allowance, Wanted};

/// How long records gather before they are written in one go.
const BATCH: Duration = Duration::from_millis(10);

/// Records dealt with before the control runtime's other tasks get their turn.
const SLICE: usize = 256;

/// Reads what the workers record, a batch at a time: writes the access log and keeps the recent
/// exchanges for the status page. It tells the workers how many records it has a use for.
pub struct Collector {
    queues: Vec<Queue>,
    wanted: Arc<Wanted>,
    telemetry: Telemetry,
    access: AccessLog,
    /// Taken from the queues, but not written yet; kept here so that nothing is lost when
    /// [`run`](Self::run) is told to stop between two slices.
    pending: VecDeque<Box<Finished>>,
    lines: Vec<u8>,
    dates: Dates,
    /// What the status page may still be shown, beside what the workers were told already; `None`
    /// where there is no such page.
    allowance: Option<Allowance>,
}

impl Collector {
    pub(super) fn new(
        queues: Vec<Queue>,
        wanted: Arc<Wanted>,
        telemetry: Telemetry,
        access: AccessLog,
    ) -> Self {
        let mut collector = Self {
            queues,
            wanted,
            telemetry,
            access,
            pending: VecDeque::new(),
            lines: Vec::new(),
            dates: Dates::new(),
            allowance: Some(Allowance::full()),
        };
        collector.ask(Instant::now());
        collector
    }

    /// Nobody can see recent exchanges: records are made for the access log alone.
    pub fn without_page(mut self) -> Self {
        self.allowance = None;
        self.ask(Instant::now());
        self
    }

    /// Works until `shutdown` ends, writes what is left, and ends the streams of live requests.
    /// The workers should have stopped by then.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.work() => {}
        }
        self.drain();
        while self.write_slice() {}
        self.telemetry.recent.close();
    }

    /// Never returns; can be dropped at any `await`.
    async fn work(&mut self) {
        loop {
            self.drain();
            if self.pending.is_empty() {
                self.sleep().await;
            }
            while self.write_slice() {
                tokio::task::yield_now().await;
            }
            self.ask(Instant::now());
            tokio::time::sleep(BATCH).await;
        }
    }

    /// Tells what was left out of the page since the last time, and what the workers may send from
    /// now on: in this order, so that what they leave out stands where it belongs.
    fn ask(&mut self, now: Instant) {
        let left_out = self.queues.iter().map(|queue| queue.link.left_out()).sum();
        if left_out > 0 {
            self.telemetry.recent.leave_out(left_out);
        }
        if self.access.is_enabled() {
            self.wanted.want_every();
        } else if let Some(allowance) = &mut self.allowance {
            self.wanted.want(allowance, now);
        } else {
            self.wanted.want_none();
        }
    }

    /// Returns when there may be records to read, or more to ask for.
    async fn sleep(&mut self) {
        let Some(notify) = self.queues.first().map(|queue| queue.link.notify()) else {
            return std::future::pending().await;
        };
        self.set_asleep(true);
        // Whoever recorded before the line above has not woken us.
        self.drain();
        if self.pending.is_empty() {
            if self.allowance.is_none() || self.wanted.is_full() {
                notify.notified().await;
            } else {
                // Who has nothing to send wakes nobody.
                let _ = tokio::time::timeout(BATCH, notify.notified()).await;
            }
        }
        self.set_asleep(false);
    }

    fn set_asleep(&self, asleep: bool) {
        self.queues.iter().for_each(|queue| queue.link.set_asleep(asleep));
    }

    fn drain(&mut self) {
        for queue in &self.queues {
            // No more than a queueful of each, so that a fast worker cannot keep us here.
            self.pending.extend(queue.records.try_iter().take(QUEUE));
        }
        if self.queues.len() > 1 {
            self.pending.make_contiguous().sort_by_key(|record| record.started + record.timing.total);
        }
    }

    /// Writes some of what is pending; `false` once nothing is left.
    fn write_slice(&mut self) -> bool {
        let count = self.pending.len().min(SLICE);
        if count == 0 {
            return false;
        }
        let logged = self.access.is_enabled();
        let now = (SystemTime::now(), Instant::now());
        self.dates.set_now(now);
        if logged && let Some(allowance) = &mut self.allowance {
            // The workers send everything, so it is for us to choose.
            allowance.fill(now.1, 0);
        }
        let mut left_out = 0;
        for record in self.pending.drain(..count) {
            let shown = self.allowance.as_mut().is_some_and(|allowance| !logged || allowance.take());
            if !shown {
                left_out += 1;
            }
            let route = self.telemetry.metrics.requests().route_name(record.route);
            let redacted = Redacted::new(&record, route.as_deref(), self.dates.of(&record));
            if logged {
                self.access.format(&redacted, &mut self.lines);
            }
            if shown {
                self.telemetry.recent.push(Entry::new(&redacted, route.clone()));
            }
        }
        if left_out > 0 {
            self.telemetry.recent.leave_out(left_out);
        }
        if !self.lines.is_empty() {
            self.access.write(&self.lines);
            self.lines.clear();
        }
        !self.pending.is_empty()
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
