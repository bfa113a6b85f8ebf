//! Reloads while requests pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{edit, route, text};
use crate::support::{Answer, LIMIT, Raw, Setup, Upstream, sandbox, until};

const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_under_steady_load_fail_no_request_and_ask_for_no_token() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/api", &upstream.url()).start().await;
    let first = text(&app);

    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (over, proxy) = (Arc::clone(&over), app.proxy);
            tokio::spawn(async move {
                let mut served = 0_u32;
                // Half of them keep their connection, half make a new one for each request.
                let mut kept = Raw::connect(proxy).await;
                while !over.load(Ordering::Relaxed) {
                    if client % 2 == 1 {
                        kept = Raw::connect(proxy).await;
                    }
                    let request = format!("GET /api/{served} HTTP/1.1\r\nHost: {proxy}\r\n\r\n");
                    let response = kept.exchange(request).await;
                    assert_eq!((response.status, response.text().as_str()), (200, "hei"));
                    served += 1;
                }
                served
            })
        })
        .collect();

    upstream.wait_for(10).await;
    for number in 0..10 {
        let before = upstream.seen().len();
        edit(&app, |_| match number % 2 {
            0 => first.clone() + &route("more", &upstream.url(), "demo:api"),
            _ => format!("# {number}\n{first}"),
        })
        .await;
        // There is load after each of them, too.
        upstream.wait_for(before + CLIENTS).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.expect("every request was served") > 0);
    }
    assert_eq!(sandbox.control().counts().token_requests, 1, "the token is kept");
    let connections = upstream.seen().iter().map(|seen| seen.connection).max().expect("requests") + 1;
    assert!(connections <= 2 * CLIENTS, "the pools are kept, and not made anew: {connections} connections");
}

#[tokio::test]
async fn a_request_in_flight_outlives_its_route() {
    let sandbox = sandbox().await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = slow.local_addr().unwrap();
    let (release, released) = oneshot::channel::<()>();
    let (came, arrived) = oneshot::channel();
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = slow.accept().await.unwrap();
        let mut head = [0; 4096];
        let count = stream.read(&mut head).await.unwrap();
        assert!(count > 0);
        came.send(()).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
        released.await.unwrap();
        stream.write_all(b"later").await.unwrap();
    });
    let app = Setup::new(&sandbox)
        .route("stays", "/stays", &sandbox.echo_url())
        .route("goes", "/goes", &format!("http://{address}"))
        .start()
        .await;
    let mut client = app.connect().await;
    client.write(format!("GET /goes HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    tokio::time::timeout(LIMIT, arrived).await.unwrap().unwrap();

    edit(&app, |text| text[..text.rfind("[[routes]]").unwrap()].to_owned()).await;
    until("the route is gone for new requests", async || app.get("/goes").await.status == 404).await;
    release.send(()).unwrap();
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "firstlater"));
    assert!(response.complete);
    // The connection lives on, by the new configuration.
    let response = client.exchange(format!("GET /goes HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    assert_eq!(response.status, 404);
    upstream.await.unwrap();
}
