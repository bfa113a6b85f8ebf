//! Servers that are not there, and come (back) while the proxy runs.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Setup, sandbox, until};
use crate::tokens::{echo, problem, token_of};

/// An address of loopback where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address")
}

/// A server on a given address, gone with all its connections when it is dropped.
struct Server(JoinHandle<()>);

impl Server {
    /// Passes connections on to `target`.
    async fn relay(address: SocketAddr, target: SocketAddr) -> Self {
        Self::start(address, move |mut stream| async move {
            if let Ok(mut onward) = TcpStream::connect(target).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            }
        })
        .await
    }

    /// Answers 200 to whatever comes.
    async fn obliging(address: SocketAddr) -> Self {
        Self::start(address, |mut stream| async move {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
        .await
    }

    async fn start<F>(address: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("the address is free again");
        Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn a_maskinporten_that_is_down_at_start_is_waited_for() {
    let sandbox = sandbox().await;
    let address = nobody().await;
    let endpoint = format!("http://{address}/token");
    let app = echo(&sandbox).replace(&sandbox.token_endpoint(), &endpoint).start_cold().await;

    let response = app.get("/echo").await;
    let told = problem(&response, 503, "token-unavailable");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("could not be reached")), "{told}");
    assert!(response.header("retry-after").is_some());
    assert_eq!(app.admin_get("/healthz").await.status, 200);
    let ready = app.admin_get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("could not be reached"), "{}", ready.text());
    assert_eq!(app.token("echo").await["state"], "unavailable");

    let up = Server::relay(address, sandbox.addr()).await;
    until("it heals by itself", || async { app.admin_get("/readyz").await.status == 200 }).await;
    let token = token_of(&app).await["jti"].clone();

    // And gone again: the token that is held goes on serving.
    drop(up);
    assert!(app.refresh("echo").await.status >= 500);
    assert_eq!(token_of(&app).await["jti"], token);
    assert_eq!(app.admin_get("/readyz").await.status, 200);
    let _up = Server::relay(address, sandbox.addr()).await;
    until("it can be fetched again", || async { app.refresh("echo").await.status == 200 }).await;
    assert_eq!(app.token("echo").await["error"], Value::Null);
}

#[tokio::test]
async fn an_upstream_that_goes_and_comes_back_needs_no_help() {
    let sandbox = sandbox().await;
    let address = nobody().await;
    let app = echo(&sandbox).route("other", "/other", &format!("http://{address}")).start().await;
    problem(&app.get("/other").await, 502, "upstream-refused");
    for _ in 0..2 {
        let up = Server::obliging(address).await;
        // The second request has a kept connection, which is dead for the next round.
        for _ in 0..2 {
            assert_eq!(app.get("/other").await.status, 200);
        }
        drop(up);
        until("it is gone", || async { app.get("/other").await.status == 502 }).await;
    }
    token_of(&app).await;
    assert_eq!(sandbox.control().counts().token_requests, 1, "no token was the worse for it");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_of_and_costs_no_token() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .route("lost", "/lost", "https://nobody.invalid")
        .start()
        .await;
    let told = problem(&app.get("/lost").await, 502, "upstream-dns");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("nobody.invalid")), "{told}");
    token_of(&app).await;
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_token_endpoint_whose_name_does_not_resolve_is_tried_again() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox)
        .replace(&sandbox.token_endpoint(), "https://maskinporten.invalid/token")
        .start_cold()
        .await;
    let told = problem(&app.get("/echo").await, 503, "token-unavailable");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("DNS")), "{told}");
    // The address is mended: nothing else is needed.
    app.edit(|text| text.replace("https://maskinporten.invalid/token", &sandbox.token_endpoint()));
    until("it is ready", || async { app.admin_get("/readyz").await.status == 200 }).await;
    token_of(&app).await;
}
