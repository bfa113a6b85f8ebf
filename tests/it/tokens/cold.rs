//! Requests that come while there is no token yet.

use std::time::Duration;

use maskinporten_proxy::sandbox::{Fault, Service};

use crate::support::numbers::persons;
use crate::support::{App, Raw, Setup, open_files, sandbox, until};

/// A route whose tokens are fetched by nobody but requests.
async fn on_demand(sandbox: &maskinporten_proxy::sandbox::Sandbox) -> App {
    let pid = "pid = { header = \"X-Pid\" }";
    Setup::new(sandbox).route_with("echo", "/echo", &sandbox.echo_url(), pid).start().await
}

fn request(app: &App, pid: &str) -> String {
    format!("GET /echo HTTP/1.1\r\nHost: {}\r\nX-Pid: {pid}\r\n\r\n", app.proxy)
}

/// Waits until so many requests are under way.
async fn in_flight(app: &App, count: f64) {
    until("so many are under way", || async { app.metric("requests_in_flight").await == Some(count) }).await;
}

#[tokio::test]
async fn a_thousand_cold_requests_cause_one_token_request() {
    open_files(8192);
    let sandbox = sandbox().await;
    let app = on_demand(&sandbox).await;
    sandbox.control().faults().always(Service::Token, Fault::delay(Duration::from_millis(500)));
    let request = request(&app, &persons().next().expect("a person"));
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (proxy, request) = (app.proxy, request.clone());
            tokio::spawn(async move { Raw::connect(proxy).await.exchange(request).await })
        })
        .collect();
    let mut tokens = std::collections::HashSet::new();
    for request in requests {
        let response = request.await.expect("a response");
        assert_eq!(response.status, 200, "{}", response.text());
        tokens.insert(response.json()["authorization"]["jti"].as_str().expect("a token").to_owned());
    }
    assert_eq!(tokens.len(), 1);
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_fetch_for_the_others() {
    let sandbox = sandbox().await;
    let app = on_demand(&sandbox).await;
    sandbox.control().faults().always(Service::Token, Fault::delay(Duration::from_secs(1)));
    let request = request(&app, &persons().next().expect("a person"));

    let mut first = app.connect().await;
    first.write(&request).await;
    in_flight(&app, 1.0).await;
    let mut second = app.connect().await;
    second.write(&request).await;
    in_flight(&app, 2.0).await;
    drop(first);
    in_flight(&app, 1.0).await;
    assert_eq!(second.response().await.status, 200);
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_token_whose_only_waiter_left_is_there_for_the_next() {
    let sandbox = sandbox().await;
    let app = on_demand(&sandbox).await;
    sandbox.control().faults().always(Service::Token, Fault::delay(Duration::from_secs(1)));
    let request = request(&app, &persons().next().expect("a person"));
    let mut only = app.connect().await;
    only.write(&request).await;
    in_flight(&app, 1.0).await;
    drop(only);
    in_flight(&app, 0.0).await;
    assert_eq!(sandbox.control().counts().token_requests, 0, "it left before the token came");
    sandbox.control().until(|counts| counts.tokens_issued == 1).await;
    assert_eq!(app.raw(&request).await.status, 200);
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn the_error_of_a_fetch_reaches_those_who_waited_and_is_not_kept() {
    let sandbox = sandbox().await;
    let app = on_demand(&sandbox).await;
    let down = Fault::unavailable("1").after(Duration::from_millis(200));
    sandbox.control().faults().always(Service::Token, down);
    let request = request(&app, &persons().next().expect("a person"));
    let waiting = (0..20).map(|_| app.raw(&request));
    for response in futures_util::future::join_all(waiting).await {
        super::problem(&response, 503, "token-unavailable");
        assert!(response.text().contains("503"), "{}", response.text());
    }
    assert_eq!(sandbox.control().counts().token_requests, 1);
    sandbox.control().faults().clear(Service::Token);
    until("a later request is served", || async { app.raw(&request).await.status == 200 }).await;
}
