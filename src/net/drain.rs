//! Stopping without dropping what is under way.
//!
//! [`Drain`] is held by whoever decides to stop; a [`DrainWatch`] is given to everything that
//! must know of it, on any thread. Connections finish within one bound, tunnels and upgraded
//! connections, which end when their peers like, within a longer one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What is in flight when the program is asked to stop has this long to finish.
pub const CONNECTIONS_WITHIN: Duration = Duration::from_secs(10);
/// Tunnels and upgrades have this long.
pub const TUNNELS_WITHIN: Duration = Duration::from_secs(30);

/// How far the stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Running,
    /// No new connections; finish and close.
    Draining,
    /// The time of ordinary connections is up.
    CutConnections,
    /// The time of tunnels is up, too.
    CutTunnels,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything finished by itself.
    Finished,
    /// So many were still open when their time was up.
    Cut { connections: usize, tunnels: usize },
}

/// The handle that starts the drain and waits for its end.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    open: Arc<Open>,
}

/// Tells of the drain, and counts what must finish.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    phase: watch::Receiver<Phase>,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: AtomicUsize,
    tunnels: AtomicUsize,
    closed: Notify,
}

/// Counts as an open connection until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Open>);

/// Counts as an open tunnel or upgraded connection until it is dropped. To be taken before the
/// answer that opens the tunnel is sent, so that there is no gap between the two counts.
#[derive(Debug)]
pub struct TunnelGuard {
    open: Arc<Open>,
    phase: watch::Receiver<Phase>,
}

impl Drain {
    pub fn new() -> (Self, DrainWatch) {
        let (sender, receiver) = watch::channel(Phase::Running);
        let open = Arc::new(Open::default());
        (Self { phase: sender, open: open.clone() }, DrainWatch { phase: receiver, open })
    }

    /// Asks everything to finish. Returns at once.
    pub fn start(&self) {
        self.advance(Phase::Draining);
    }

    /// Starts the drain, if need be, and waits until all is closed or the times are up; what is
    /// open then is told to drop everything.
    pub async fn finish(&self, connections_within: Duration, tunnels_within: Duration) -> Outcome {
        self.start();
        let started = Instant::now();
        let connections = self.wait(&self.open.connections, started + connections_within).await;
        if connections > 0 {
            self.advance(Phase::CutConnections);
        }
        let tunnels = self.wait(&self.open.tunnels, started + tunnels_within).await;
        self.advance(Phase::CutTunnels);
        match (connections, tunnels) {
            (0, 0) => Outcome::Finished,
            (connections, tunnels) => Outcome::Cut { connections, tunnels },
        }
    }

    /// Connections and tunnels that are open.
    pub fn open(&self) -> (usize, usize) {
        (self.open.connections.load(Ordering::Acquire), self.open.tunnels.load(Ordering::Acquire))
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            *phase = (*phase).max(to);
            forward
        });
    }

    /// Waits for `count` to be zero; what it is at the deadline.
    async fn wait(&self, count: &AtomicUsize, deadline: Instant) -> usize {
        loop {
            let closed = self.open.closed.notified();
            tokio::pin!(closed);
            // Registered before the count is read, so that no close slips between the two.
            closed.as_mut().enable();
            let left = count.load(Ordering::Acquire);
            if left == 0 || tokio::time::timeout_at(deadline, closed).await.is_err() {
                return left;
            }
        }
    }
}

impl DrainWatch {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Waits until the drain has come to `phase`, or its [`Drain`] is gone.
    pub async fn reached(&self, phase: Phase) {
        // An error means that nobody is left to decide; that is the end, too.
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }

    pub fn connection(&self) -> ConnectionGuard {
        self.open.connections.fetch_add(1, Ordering::AcqRel);
        ConnectionGuard(self.open.clone())
    }

    pub fn tunnel(&self) -> TunnelGuard {
        self.open.tunnels.fetch_add(1, Ordering::AcqRel);
        TunnelGuard { open: self.open.clone(), phase: self.phase.clone() }
    }
}

impl TunnelGuard {
    /// Waits until tunnels have to end.
    pub async fn cut(&self) {
        // As in `DrainWatch::reached`.
        let _ = self.phase.clone().wait_for(|now| *now >= Phase::CutTunnels).await;
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}

impl Drop for TunnelGuard {
    fn drop(&mut self) {
        self.open.tunnels.fetch_sub(1, Ordering::AcqRel);
        self.open.closed.notify_waiters();
    }
}

/// A wait for a phase, for a task that polls much else: once the task's waker is registered, a
/// poll costs one look at the phase's version.
pub(crate) struct Turn {
    watch: watch::Receiver<Phase>,
    wait: Option<Pin<Box<dyn Future<Output = ()>>>>,
    at: Phase,
    registered: bool,
}

impl Turn {
    /// To be polled by one task only, whose waker stays the same.
    pub(crate) fn new(watch: &DrainWatch, at: Phase) -> Self {
        Self { watch: watch.phase.clone(), wait: None, at, registered: false }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.registered && self.watch.has_changed().is_ok_and(|changed| !changed) {
            return Poll::Pending;
        }
        let (mut watch, at) = (self.watch.clone(), self.at);
        let wait = self.wait.get_or_insert_with(|| {
            Box::pin(async move {
                // As in `DrainWatch::reached`.
                let _ = watch.wait_for(|now| *now >= at).await;
            })
        });
        // Before the poll, so that a change during it is still seen as one.
        self.watch.mark_unchanged();
        self.registered = true;
        let outcome = wait.as_mut().poll(cx);
        if outcome.is_ready() {
            self.wait = None;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_what_is_open_and_for_no_longer() {
        let (drain, watch) = Drain::new();
        let connection = watch.connection();
        let tunnel = watch.tunnel();
        assert_eq!(drain.open(), (1, 1));
        let holder = tokio::spawn({
            let watch = watch.clone();
            async move {
                watch.reached(Phase::Draining).await;
                drop(connection);
                tokio::time::sleep(Duration::from_secs(20)).await;
                drop(tunnel);
            }
        });
        let started = Instant::now();
        assert_eq!(drain.finish(CONNECTIONS_WITHIN, TUNNELS_WITHIN).await, Outcome::Finished);
        assert_eq!(started.elapsed().as_secs(), 20);
        holder.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn cuts_connections_first_and_tunnels_later() {
        let (drain, watch) = Drain::new();
        let connection = watch.connection();
        let tunnel = watch.tunnel();
        let cuts = tokio::spawn(async move {
            watch.reached(Phase::CutConnections).await;
            let first = Instant::now();
            drop(connection);
            tunnel.cut().await;
            (first, Instant::now())
        });
        let started = Instant::now();
        let outcome = drain.finish(CONNECTIONS_WITHIN, TUNNELS_WITHIN).await;
        assert_eq!(outcome, Outcome::Cut { connections: 1, tunnels: 1 });
        let (first, second) = cuts.await.unwrap();
        assert_eq!((first - started).as_secs(), 10);
        assert_eq!((second - started).as_secs(), 30);
    }

    #[tokio::test]
    async fn a_watch_across_threads_counts_the_same() {
        let (drain, watch) = Drain::new();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let watch = watch.clone();
                std::thread::spawn(move || drop((0..100).map(|_| watch.connection()).collect::<Vec<_>>()))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(drain.finish(Duration::ZERO, Duration::ZERO).await, Outcome::Finished);
    }
}
