//! The reader of the workers' queues, on the control runtime.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use super::Telemetry;
use super::exchange::Finished;
use super::log::AccessLog;
use super::recent::{Entry, KEPT};
use super::recorder::{QUEUE, Queue};

/// How long records gather before they are written in one go.
const BATCH: Duration = Duration::from_millis(10);

/// Records dealt with before the control runtime's other tasks get their turn.
const SLICE: usize = 256;

/// Exchanges each second that are kept for the status page, beyond a burst as large as the ring.
/// Nobody reads more, and to redact all of them would cost a busy proxy a good part of a core.
const SHOWN: f64 = 2000.0;

/// Reads what the workers record, a batch at a time: writes the access log, keeps the recent
/// exchanges for the status page and feeds the histograms.
pub struct Collector {
    queues: Vec<Queue>,
    telemetry: Telemetry,
    access: AccessLog,
    /// Taken from the queues, but not written yet; kept here so that nothing is lost when
    /// [`run`](Self::run) is told to stop between two slices.
    pending: VecDeque<Finished>,
    lines: String,
    allowance: Allowance,
}

/// How many exchanges may still be kept for the status page: a bucket that fills by the clock.
struct Allowance {
    left: f64,
    filled: Instant,
}

impl Collector {
    pub(super) fn new(queues: Vec<Queue>, telemetry: Telemetry, access: AccessLog) -> Self {
        let allowance = Allowance { left: KEPT as f64, filled: Instant::now() };
        Self { queues, telemetry, access, pending: VecDeque::new(), lines: String::new(), allowance }
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
            tokio::time::sleep(BATCH).await;
        }
    }

    /// Returns when there may be records to read.
    async fn sleep(&mut self) {
        let Some(notify) = self.queues.first().map(|queue| queue.wake.notify()) else {
            return std::future::pending().await;
        };
        self.set_asleep(true);
        // Whoever recorded before the line above has not woken us.
        self.drain();
        if self.pending.is_empty() {
            notify.notified().await;
        }
        self.set_asleep(false);
    }

    fn set_asleep(&self, asleep: bool) {
        self.queues.iter().for_each(|queue| queue.wake.set_asleep(asleep));
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
        let rest = self.pending.split_off(count);
        let records = std::mem::replace(&mut self.pending, rest);
        let logged = self.access.is_enabled();
        let now = (SystemTime::now(), Instant::now());
        self.allowance.fill(now.1);
        let mut left_out = 0;
        for record in &records {
            if record.answered {
                let answered = record.timing.connect + record.timing.head;
                self.telemetry.metrics.upstream_answered(record.route, answered);
            }
            let shown = self.allowance.take();
            if !shown {
                left_out += 1;
            }
            if !shown && !logged {
                continue;
            }
            let route = self.telemetry.metrics.requests().route_name(record.route);
            let entry = Entry::new(record, route, now);
            if logged {
                self.access.format(&entry, &mut self.lines);
            }
            if shown {
                self.telemetry.recent.push(entry);
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

impl Allowance {
    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.filled, now));
        self.left = (self.left + since.as_secs_f64() * SHOWN).min(KEPT as f64);
    }

    fn take(&mut self) -> bool {
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
