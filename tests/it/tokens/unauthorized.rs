//! APIs that refuse a token: 401 has it fetched anew once, and no answer has it fetched in a loop.

use std::time::Instant;

use futures_util::future::join_all;
use http::StatusCode;
use maskinporten_proxy::sandbox::{Fault, Service};

use crate::support::{App, RawResponse, Setup, Upstream, sandbox, until};
use crate::tokens::{echo, token_of};

async fn post(app: &App, path: &str, body: &str, chunked: bool) -> RawResponse {
    let framing = if chunked {
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    } else {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    };
    app.raw(&format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{framing}", app.proxy)).await
}

#[tokio::test]
async fn a_request_whose_token_was_revoked_is_sent_again_with_another() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    let old = token_of(&app).await["jti"].clone();
    sandbox.control().revoke_tokens();
    let new = token_of(&app).await["jti"].clone();
    assert_ne!(new, old);
    assert_eq!(token_of(&app).await["jti"], new);
    let counts = sandbox.control().counts();
    assert_eq!((counts.token_requests, counts.dead_tokens), (2, 1));
}

#[tokio::test]
async fn a_small_body_is_sent_again_with_the_request() {
    for (chunked, size) in [(false, 11), (true, 11), (false, 64 * 1024), (true, 64 * 1024)] {
        let sandbox = sandbox().await;
        let app = echo(&sandbox).start().await;
        sandbox.control().revoke_tokens();
        let response = post(&app, "/echo", &"x".repeat(size), chunked).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["body"]["length"], size);
        let counts = sandbox.control().counts();
        assert_eq!((counts.api_requests, counts.token_requests), (2, 2), "{size}, chunked: {chunked}");
    }
}

#[tokio::test]
async fn where_the_body_is_gone_the_401_passes_and_the_next_request_has_the_new_token() {
    for chunked in [false, true] {
        let sandbox = sandbox().await;
        let app = echo(&sandbox).start().await;
        sandbox.control().revoke_tokens();
        let response = post(&app, "/echo", &"x".repeat(64 * 1024 + 1), chunked).await;
        assert_eq!(response.status, 401);
        assert!(response.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
        assert_eq!(response.header("proxy-status"), None, "the answer is the API's");
        assert_eq!(post(&app, "/echo", "small", chunked).await.status, 200);
        let counts = sandbox.control().counts();
        assert_eq!((counts.api_requests, counts.token_requests, counts.dead_tokens), (2, 2, 1));
    }
}

#[tokio::test]
async fn requests_that_are_refused_together_share_one_new_token() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    sandbox.control().revoke_tokens();
    let responses = join_all((0..50).map(|_| app.get("/echo"))).await;
    for response in responses {
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(sandbox.control().counts().token_requests, 2);
}

#[tokio::test]
async fn an_api_that_refuses_every_token_causes_hardly_any_token_requests() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    sandbox.control().faults().always(Service::Api, Fault::unauthorized());
    let began = Instant::now();
    for _ in 0..100 {
        let response = app.get("/echo").await;
        assert_eq!(response.status, 401);
        assert!(response.header("www-authenticate").is_some(), "the API's own answer");
    }
    // One for the first 401, and none within five seconds of it.
    let most = 2 + began.elapsed().as_secs() / 5;
    let counts = sandbox.control().counts();
    assert!(counts.token_requests <= most, "{} in {:?}", counts.token_requests, began.elapsed());
    assert!(counts.api_requests <= 100 + most, "{}", counts.api_requests);
    assert_eq!(app.admin_get("/readyz").await.status, 200, "the token is good all the same");
}

#[tokio::test]
async fn no_other_refusal_of_an_api_has_a_token_fetched() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    for status in [StatusCode::FORBIDDEN, StatusCode::PROXY_AUTHENTICATION_REQUIRED, StatusCode::BAD_REQUEST]
    {
        sandbox.control().faults().always(Service::Api, Fault::status(status));
        for _ in 0..20 {
            assert_eq!(app.get("/echo").await.status, status.as_u16());
        }
    }
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn where_no_other_token_is_to_be_had_the_apis_answer_passes() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(crate::support::Answer::raw(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 5\r\n\r\nno go",
    ))
    .await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    sandbox.control().faults().always(Service::Token, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let response = app.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (401, "no go"));
    sandbox.control().faults().clear(Service::Token);
    until("there is a token again", || async { app.admin_get("/readyz").await.status == 200 }).await;
}
