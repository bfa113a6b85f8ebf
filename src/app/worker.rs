//! Worker threads: each runs a single-threaded runtime of its own and keeps the connections that
//! it was handed. Nothing on the way of a request is shared between them but what is read
//! through atomics.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use ::http::{Request, Response};
use hyper::body::Incoming;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::admin::{Admin, AdminBody};
use crate::net::{self, Accepted, Call, DrainWatch, Listener, Peer, Phase};
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
        for (number, recorder) in recorders.iter().enumerate() {
            let (sender, receiver) = unbounded_channel();
            queues.push(sender);
            let (live, surroundings) = (Arc::clone(live), Arc::clone(surroundings));
            let (recorder, tls, drain) = (Arc::clone(recorder), tls.clone(), drain.clone());
            let stopped = stopped.clone();
            let run = move || {
                let runtime =
                    match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                        Ok(runtime) => runtime,
                        Err(error) => {
                            tracing::error!("worker {number} cannot start its runtime: {error}");
                            return;
                        }
                    };
                runtime.block_on(async move {
                    let worker = Worker::new(live, surroundings, recorder, drain);
                    work(Rc::new(worker), receiver, tls, stopped).await;
                });
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(run)?);
        }
        Ok(Self { queues, next: AtomicUsize::new(0), threads, stop })
    }

    /// Accepts connections and hands them to the workers in turn. Never ends by itself.
    pub(super) async fn accept(&self, listener: Listener) {
        loop {
            let accepted = listener.accept().await;
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
            // A worker that is gone drops the connection; the others go on.
            let _ = self.queues[turn].send(accepted);
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

async fn work(
    worker: Rc<Worker>,
    mut connections: UnboundedReceiver<Accepted>,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            accepted = connections.recv() => match accepted {
                Some(accepted) => drop(tokio::task::spawn_local(connection(Rc::clone(&worker), accepted, tls.clone()))),
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
        Some(acceptor) => match net::accept_tls(&acceptor, transport, peer).await {
            Ok(parts) => parts,
            Err(error) => return tracing::debug!(client = ?address, "no TLS with a client: {error}"),
        },
    };
    let drain = worker.drain().clone();
    let handler =
        move |request: Request<Incoming>, call: Call| proxy::handle(Rc::clone(&worker), request, call);
    net::serve(transport, Arc::new(peer), drain, handler).await;
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
            let peer = Arc::new(Peer { address, local, ..Peer::default() });
            let handler = move |request: Request<Incoming>, call: Call| {
                let (page, live) = (Rc::clone(&page), Arc::clone(&live));
                async move { Ok::<_, std::convert::Infallible>(admin(&page, &live, request, call).await) }
            };
            net::serve(transport, peer, drain, handler).await;
        });
    }
}

async fn admin(page: &Admin, live: &Live, request: Request<Incoming>, call: Call) -> Response<AdminBody> {
    let (parts, body) = request.into_parts();
    match proxy::admit_admin(live, &parts, &call) {
        Ok(()) => page.handle(Request::from_parts(parts, body)).await,
        Err(problem) => page.refuse(problem, &parts.method),
    }
}
