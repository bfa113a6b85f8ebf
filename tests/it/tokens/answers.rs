//! A token endpoint whose answers are no tokens: told as what they are, tried again, and never
//! worse for a token that is still good.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use http::header::RETRY_AFTER;
use maskinporten_proxy::sandbox::{Fault, Service};

use crate::support::{sandbox, until};
use crate::tokens::{echo, problem, token_of};

/// What is answered, and what a person is told of it.
fn useless_answers() -> Vec<(Fault, &'static str)> {
    let member = |name, raw: &str| Fault::member(name, Some(raw));
    vec![
        (Fault::empty(), "it is empty"),
        (Fault::html(), "it is not a JSON object"),
        (Fault::truncated_json(), "it is not a JSON object"),
        (member("expires_in", "NaN"), "it is not a JSON object"),
        (Fault::member("access_token", None), "it holds no token"),
        (member("access_token", "\"\""), "it holds no token"),
        (member("access_token", "\"a\\r\\nb\""), "characters that no bearer token has"),
        (member("token_type", "\"DPoP\""), "`token_type` is not Bearer"),
        (member("expires_in", "\"soon\""), "`expires_in` is not a number"),
        (member("expires_in", "0"), "past its life"),
        (member("expires_in", "-119"), "past its life"),
        (Fault::endless(), "longer than 65536 bytes"),
        (Fault::break_body(20), "could not be reached"),
        (Fault::reset(), "could not be reached"),
        (Fault::status(StatusCode::BAD_GATEWAY), "answered 502"),
        (Fault::status(StatusCode::CREATED).body("{}"), "the status is unexpected"),
    ]
}

#[tokio::test]
async fn a_useless_answer_is_a_503_with_the_reason_and_passes() {
    let each = useless_answers().into_iter().map(|(fault, reason)| async move {
        let sandbox = sandbox().await;
        sandbox.control().faults().always(Service::Token, fault);
        let app = echo(&sandbox).start_cold().await;
        let response = app.get("/echo").await;
        let told = problem(&response, 503, "token-unavailable");
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains(reason)), "{reason}: {told}");
        let wait: u64 = response.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=7).contains(&wait), "{reason}: {wait}");
        let ready = app.admin_get("/readyz").await;
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains(reason), "{reason}: {}", ready.text());
        assert_eq!(app.token("echo").await["state"], "unavailable", "{reason}");

        sandbox.control().faults().clear(Service::Token);
        until("it is ready by itself", || async { app.admin_get("/readyz").await.status == 200 }).await;
        token_of(&app).await;
        let counts = sandbox.control().counts();
        assert_eq!((counts.dead_tokens, counts.unknown_tokens, counts.missing_tokens), (0, 0, 0), "{reason}");
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_useless_answer_leaves_the_old_token_in_use() {
    let each = useless_answers().into_iter().map(|(fault, reason)| async move {
        let sandbox = sandbox().await;
        let app = echo(&sandbox).start().await;
        let before = token_of(&app).await["jti"].clone();
        sandbox.control().faults().always(Service::Token, fault);
        let refresh = app.refresh("echo").await;
        assert!(refresh.status >= 500, "{reason}: {}", refresh.text());
        assert_eq!(token_of(&app).await["jti"], before, "{reason}");
        let token = app.token("echo").await;
        assert_eq!(token["state"], "live");
        assert!(token["error"]["cause"].as_str().is_some_and(|cause| cause.contains(reason)), "{token}");
        assert_eq!(app.admin_get("/readyz").await.status, 200);
    });
    join_all(each).await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_given_up_and_holds_nobody_who_has_a_token() {
    let (cold, warm) = (sandbox().await, sandbox().await);
    cold.control().faults().always(Service::Token, Fault::silence());
    let (without, with) = (echo(&cold).start_cold().await, echo(&warm).start().await);
    warm.control().faults().always(Service::Token, Fault::silence());
    let waits = async {
        let told = problem(&without.get("/echo").await, 503, "token-unavailable");
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("in time")), "{told}");
    };
    let serves = async {
        let refresh = with.refresh("echo");
        tokio::pin!(refresh);
        for _ in 0..20 {
            tokio::select! {
                early = &mut refresh => panic!("the endpoint said nothing, and yet: {}", early.text()),
                token = token_of(&with) => drop(token),
            }
        }
        assert!(refresh.await.status >= 500);
        token_of(&with).await;
    };
    tokio::join!(waits, serves);
}

#[tokio::test]
async fn a_pause_that_was_asked_for_holds_for_every_request() {
    let in_a_while = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(100));
    let in_a_while: &'static str = in_a_while.leak();
    for (asked, least, most) in [("30", 25, 33), (in_a_while, 80, 106), ("86400", 280, 316)] {
        let sandbox = sandbox().await;
        let busy = Fault::status(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, asked);
        sandbox.control().faults().always(Service::Token, busy);
        let app = echo(&sandbox)
            .route_with("other", "/other", &sandbox.echo_url(), "resource = [\"https://api.example.no\"]")
            .start_cold()
            .await;
        for path in ["/echo", "/other"].into_iter().cycle().take(20) {
            let response = app.get(path).await;
            problem(&response, 503, "token-unavailable");
            let wait: u64 = response.header("retry-after").expect("a time").parse().expect("seconds");
            assert!((least..=most).contains(&wait), "{asked}: {wait}");
        }
        // Both routes may have asked before the answer to either was there.
        let requests = sandbox.control().counts().token_requests;
        assert!(requests <= 2, "{asked}: {requests} token requests");
    }
}

#[tokio::test]
async fn a_token_that_is_dead_on_arrival_is_not_asked_for_in_a_loop() {
    let sandbox = sandbox().await;
    sandbox.control().faults().always(Service::Token, Fault::member("expires_in", Some("0.01")));
    let app = echo(&sandbox).start_cold().await;
    let began = std::time::Instant::now();
    for _ in 0..200 {
        problem(&app.get("/echo").await, 503, "token-unavailable");
    }
    // The first pause is half a second at least, and they grow.
    let most = 2 + began.elapsed().as_millis() as u64 / 500;
    let requests = sandbox.control().counts().token_requests;
    assert!(requests <= most, "{requests} token requests in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_life_that_is_told_oddly_is_believed_as_far_as_it_can_be() {
    // Missing, quoted, in milliseconds, beyond reason: the token itself says 119 s.
    for raw in [None, Some("null"), Some("\"119\""), Some("119000"), Some("1e300"), Some("119.0")] {
        let sandbox = sandbox().await;
        sandbox.control().faults().always(Service::Token, Fault::member("expires_in", raw));
        let app = echo(&sandbox).start().await;
        let left = app.token("echo").await["expires_in"].as_i64().expect("seconds");
        assert!((100..=121).contains(&left), "{raw:?}: {left}");
        token_of(&app).await;
    }
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let sandbox = sandbox().await;
    let elsewhere = crate::support::Upstream::always(crate::support::Answer::ok("{}")).await;
    let location: &'static str = elsewhere.url().leak();
    let redirect = Fault::redirect(StatusCode::TEMPORARY_REDIRECT, location);
    sandbox.control().faults().always(Service::Token, redirect);
    let app = echo(&sandbox).start_cold().await;
    let told = problem(&app.get("/echo").await, 502, "token-refused");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("redirect")), "{told}");
    assert!(elsewhere.seen().is_empty());
}
