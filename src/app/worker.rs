//! Worker threads: each runs a single-threaded runtime of its own and keeps the connections that
//! it was handed. Nothing on the way of a request is shared between them but what is read
//! through atomics.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::admin::{Admin, AdminBody};
use crate::clock;
use crate::hint::apart;
use crate::message::{Request, Response};
use crate::net::{self, Accepted, Call, DrainWatch, Incoming, Listener, Peer, Phase};
use crate::proxy::{self, Worker};
use crate::state::{Live, Surroundings};
use crate::telemetry::{Recorder, Side};

/// The worker threads, and the way to them.
pub(super) struct Workers {
    queues: Vec<UnboundedSender<Accepted>>,
    next: AtomicUsize,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// One thread for each recorder.
    ///
    /// # Errors
    ///
    /// A thread, or its runtime, that does not start. Those that did end with the queues.
    pub(super) fn start(
        live: &Arc<Live>,
        surroundings: &Arc<Surroundings>,
        recorders: &[Arc<Recorder>],
        tls: Option<TlsAcceptor>,
        drain: &DrainWatch,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        let (ready, started) = std::sync::mpsc::channel();
        for (number, recorder) in recorders.iter().enumerate() {
            let (sender, receiver) = unbounded_channel();
            queues.push(sender);
            let (live, surroundings) = (Arc::clone(live), Arc::clone(surroundings));
            let (recorder, tls, drain) = (Arc::clone(recorder), tls.clone(), drain.clone());
            let (stopped, ready) = (stopped.clone(), ready.clone());
            let run = move || {
                let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
                // Whoever starts the threads waits for this, and until no thread could still say it.
                let _ = ready.send(runtime.as_ref().map(|_| ()).map_err(|error| error.kind()));
                drop(ready);
                let Ok(runtime) = runtime else { return };
                runtime.block_on(async move {
                    let worker = Rc::new(Worker::new(live, surroundings, recorder, drain));
                    let serve = |accepted| connection(Rc::clone(&worker), accepted, tls.clone());
                    work(receiver, stopped, serve).await;
                });
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(run)?);
        }
        drop(ready);
        for outcome in started {
            outcome.map_err(io::Error::from)?;
        }
        Ok(Self { queues, next: AtomicUsize::new(0), threads, stop })
    }

    /// Accepts connections and hands them to the workers in turn. Ends when no worker is left.
    pub(super) async fn accept(&self, listener: Listener) {
        loop {
            let accepted = listener.accept().await;
            if !hand_over(&self.queues, &self.next, accepted) {
                return;
            }
        }
    }

    /// Ends the threads, with whatever they still carry.
    pub(super) fn stop(self) {
        self.stop.send_replace(true);
        drop(self.queues);
        for thread in self.threads {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Gives `item` to the next in turn that takes it; a worker that is gone is passed over. `false`
/// where all are gone.
fn hand_over<T>(queues: &[UnboundedSender<T>], next: &AtomicUsize, mut item: T) -> bool {
    let turn = next.fetch_add(1, Ordering::Relaxed);
    for number in 0..queues.len() {
        match queues[turn.wrapping_add(number) % queues.len()].send(item) {
            Ok(()) => return true,
            Err(refused) => item = refused.0,
        }
    }
    false
}

/// Carries each connection in a task of its own, so that a panic in one ends that one alone.
async fn work<T, F: Future<Output = ()> + 'static>(
    mut connections: UnboundedReceiver<T>,
    mut stopped: watch::Receiver<bool>,
    serve: impl Fn(T) -> F,
) {
    loop {
        tokio::select! {
            accepted = connections.recv() => match accepted {
                Some(accepted) => drop(tokio::task::spawn_local(clock::in_turns(serve(accepted)))),
                None => break,
            },
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// A client's connection, from its first byte to its last.
async fn connection(worker: Rc<Worker>, accepted: Accepted, tls: Option<TlsAcceptor>) {
    let _open = worker.recorder().connection(Side::Client);
    let (address, local) = (accepted.peer, accepted.local);
    let (transport, _permit) = match accepted.into_transport() {
        Ok(parts) => parts,
        Err(error) => return tracing::debug!("a connection was gone before it began: {error}"),
    };
    let peer = Peer { address, local, ..Peer::default() };
    let (transport, peer) = match tls {
        None => (transport, peer),
        Some(acceptor) => match apart(|| net::accept_tls(&acceptor, transport, peer)).await {
            Ok(parts) => parts,
            Err(error) => return tracing::debug!(client = ?address, "no TLS with a client: {error}"),
        },
    };
    let (drain, patience) = (worker.drain().clone(), worker.patience());
    let handler =
        move |request: Request<Incoming>, call: Call| proxy::handle(Rc::clone(&worker), request, call);
    net::serve_with(patience, transport, Rc::new(peer), drain, handler).await;
}

/// Serves the admin listener on the current thread until the drain begins.
pub(super) async fn serve_admin(listener: Listener, page: Admin, live: Arc<Live>, drain: DrainWatch) {
    let page = Rc::new(page);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.reached(Phase::Draining) => return,
        };
        let (page, live, drain) = (Rc::clone(&page), Arc::clone(&live), drain.clone());
        tokio::task::spawn_local(async move {
            let (address, local) = (accepted.peer, accepted.local);
            let Ok((transport, _permit)) = accepted.into_transport() else { return };
            let peer = Rc::new(Peer { address, local, ..Peer::default() });
            let handler = move |request: Request<Incoming>, call: Call| {
                let (page, live) = (Rc::clone(&page), Arc::clone(&live));
                async move { Ok::<_, std::convert::Infallible>(admin(&page, &live, request, call).await) }
            };
            net::serve(transport, peer, drain, handler).await;
        });
    }
}

async fn admin(page: &Admin, live: &Live, request: Request<Incoming>, call: Call) -> Response<AdminBody> {
    match proxy::admit_admin(live, &request.head, &call) {
        Ok(()) => page.handle(request.into()).await.into(),
        Err(problem) => page.refuse(problem, &request.head.method).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_around_and_past_a_worker_that_is_gone() {
        let next = AtomicUsize::new(usize::MAX);
        let (first, mut at_first) = unbounded_channel();
        let (second, at_second) = unbounded_channel();
        let (third, mut at_third) = unbounded_channel();
        let queues = [first, second, third];
        drop(at_second);
        for item in 0..6 {
            assert!(hand_over(&queues, &next, item));
        }
        let mut taken = Vec::new();
        while let Ok(item) = at_first.try_recv() {
            taken.push(item);
        }
        assert!(!taken.is_empty() && taken.len() < 6, "{taken:?}");
        while let Ok(item) = at_third.try_recv() {
            taken.push(item);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5], "none is lost");
        drop((at_first, at_third));
        assert!(!hand_over(&queues, &next, 6), "nobody is left");
    }

    #[test]
    fn a_panic_in_one_connection_leaves_its_worker_and_the_others_at_work() {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (connections, receiver) = unbounded_channel();
        let (answers, mut answered) = unbounded_channel();
        for connection in ["served", "panics", "served, too"] {
            connections.send(connection).unwrap();
        }
        runtime.block_on(async move {
            let serve = move |connection: &'static str| {
                let answers = answers.clone();
                async move {
                    assert_ne!(connection, "panics");
                    answers.send(connection).unwrap();
                }
            };
            let working = tokio::task::spawn_local(work(receiver, stopped, serve));
            assert_eq!(answered.recv().await, Some("served"));
            assert_eq!(answered.recv().await, Some("served, too"));
            connections.send("served after it").unwrap();
            assert_eq!(answered.recv().await, Some("served after it"));
            stop.send_replace(true);
            working.await.unwrap();
        });
    }
}
