//! Many lives of tokens under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use maskinporten_proxy::sandbox::{Fault, Sandbox, SandboxOptions, Service};
use tokio::task::JoinHandle;

use crate::support::{App, Raw, sandbox_with};
use crate::tokens::echo;

/// Clients that ask again and again, each on a connection of its own.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

#[derive(Default)]
struct Tally {
    served: usize,
    failed: Vec<String>,
}

impl Load {
    fn begin(app: &App, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|_| tokio::spawn(client(app.proxy, Arc::clone(&stop)))).collect();
        Self { stop, clients }
    }

    async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.await.expect("a client at its end");
            all.served += tally.served;
            all.failed.extend(tally.failed);
        }
        all
    }
}

async fn client(proxy: std::net::SocketAddr, stop: Arc<AtomicBool>) -> Tally {
    let mut raw = Raw::connect(proxy).await;
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let response = raw.exchange(format!("GET /echo HTTP/1.1\r\nHost: {proxy}\r\n\r\n")).await;
        match response.status {
            200 => tally.served += 1,
            status => tally.failed.push(format!("{status}: {}", response.text())),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tally
}

/// Loads an app for ten lives of its tokens, and checks that nobody noticed their ends.
async fn ten_lives(sandbox: &Sandbox, life: Duration) {
    let app = echo(sandbox).start().await;
    let load = Load::begin(&app, 8);
    tokio::time::sleep(life * 10).await;
    let tally = load.end().await;
    assert_eq!(tally.failed, Vec::<String>::new());
    assert!(tally.served > 500, "{} requests are no load", tally.served);
    let counts = sandbox.control().counts();
    assert_eq!(sandbox.control().dead_tokens(), []);
    assert_eq!((counts.unknown_tokens, counts.missing_tokens), (0, 0));
    assert!(counts.tokens_issued >= 10, "{counts:?}");
}

#[tokio::test]
async fn ten_lives_cost_no_request_and_send_no_dead_token() {
    let sandbox = sandbox_with(SandboxOptions { token_lifetime: 1, ..SandboxOptions::default() }).await;
    ten_lives(&sandbox, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_half_of_each_life_costs_no_request() {
    let life = Duration::from_secs(2);
    let sandbox = sandbox_with(SandboxOptions { token_lifetime: 2, ..SandboxOptions::default() }).await;
    let start = Instant::now();
    let ways_of_being_down = [
        Fault::status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::reset(),
        Fault::close(),
        Fault::html(),
        Fault::empty(),
        Fault::status(StatusCode::BAD_GATEWAY),
    ];
    let (mut next, failed) = (0, Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&failed);
    sandbox.control().faults().schedule(Service::Token, move |_| {
        // Up first, so that there is a token to begin with.
        if start.elapsed().as_millis() % life.as_millis() < life.as_millis() / 2 {
            return None;
        }
        seen.store(true, Ordering::Relaxed);
        next += 1;
        Some(ways_of_being_down[next % ways_of_being_down.len()].clone())
    });
    ten_lives(&sandbox, life).await;
    assert!(failed.load(Ordering::Relaxed), "nobody met the endpoint while it was down");
}
