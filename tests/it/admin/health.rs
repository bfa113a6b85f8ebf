//! `/healthz`, `/readyz` and `/api/status`.

use std::time::{Duration, SystemTime};

use maskinporten_proxy::clock::Clock;
use maskinporten_proxy::sandbox::{Fault, SandboxOptions, Service};

use super::{json, to_admin};
use crate::support::{Setup, sandbox, sandbox_with, until};

#[tokio::test]
async fn ready_once_the_tokens_are_held_and_healthy_all_along() {
    let sandbox = sandbox().await;
    sandbox.control().faults().always(Service::Token, Fault::unavailable("1"));
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start_cold().await;
    let healthy = || async { app.admin_get("/healthz").await.status == 200 };

    assert!(healthy().await);
    until("the failure is told", || async {
        let answer = app.admin_get("/readyz").await;
        assert_eq!(answer.status, 503, "there is no token");
        let reasons = answer.json()["reasons"].to_string();
        reasons.contains("echo: ") && reasons.contains("503")
    })
    .await;
    assert!(healthy().await);
    let head = to_admin(&app, &format!("HEAD /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", app.admin)).await;
    assert_eq!((head.status, head.body.len()), (503, 0));

    sandbox.control().faults().clear(Service::Token);
    until("a token is held", || async { app.admin_get("/readyz").await.status == 200 }).await;
    let answer = app.admin_get("/readyz").await.json();
    assert_eq!(answer, serde_json::json!({ "ready": true, "reasons": [] }));
    assert!(healthy().await);
}

#[tokio::test]
async fn not_ready_again_when_a_token_has_run_out() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = sandbox_with(SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() }).await;
    let app = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .route_with("by-header", "/by-header", &sandbox.echo_url(), "consumer_org = { header = \"X-Org\" }")
        .start_cold_with(clock.clone())
        .await;
    app.running.tokens().await.expect("tokens");
    // A route whose claims come with requests has nothing to wait for.
    assert_eq!(app.admin_get("/readyz").await.status, 200);

    sandbox.control().faults().always(Service::Token, Fault::unavailable("1"));
    clock.advance(Duration::from_secs(200));
    until("the end is seen", || async { app.admin_get("/readyz").await.status == 503 }).await;
    let reasons = app.admin_get("/readyz").await.json()["reasons"].clone();
    let reasons = reasons.as_array().expect("reasons");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].as_str().expect("a sentence").starts_with("echo: "), "{reasons:?}");
    let status = json(&app, "/api/status").await;
    let state = |route: &str| {
        let tokens = status["tokens"].as_array().expect("tokens");
        tokens.iter().find(|token| token["route"] == route).expect("the route")["state"].clone()
    };
    assert_eq!(state("by-header"), "on-demand");
    assert_ne!(state("echo"), "live");
    assert_eq!(app.admin_get("/healthz").await.status, 200);

    sandbox.control().faults().clear(Service::Token);
    until("a new token is held", || async {
        // Pauses between attempts are told by the machine's clock; the life of tokens by this one.
        clock.advance(Duration::from_secs(1));
        app.admin_get("/readyz").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn the_status_tells_what_is_configured_and_held() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .route_with("reads", "/reads", &sandbox.echo_url(), "methods = [\"GET\"]\naccess = \"read-only\"")
        .start()
        .await;
    let status = json(&app, "/api/status").await;
    let route = &status["routes"][0];
    for (member, value) in
        [("name", "echo"), ("path", "/echo"), ("upstream", &sandbox.echo_url()), ("client", "test")]
    {
        assert_eq!(route[member], value, "{route}");
    }
    assert_eq!(status["routes"][1]["access"], "read-only");
    let token = &status["tokens"][0];
    assert_eq!(
        (&token["client"], &token["route"], &token["state"]),
        (&"test".into(), &"echo".into(), &"live".into())
    );
    assert_eq!(token["scopes"], serde_json::json!(["demo:api"]));
    assert_eq!(token["claims"]["scope"], "demo:api");
    assert_eq!(token["error"], serde_json::Value::Null);
    let left = token["expires_in"].as_i64().expect("seconds");
    assert!((1..=119).contains(&left), "{left}");
    let expires_at = token["expires_at"].as_str().expect("a time");
    assert!(expires_at.ends_with('Z') && expires_at.contains('T'), "{expires_at}");
    let config = &status["config"];
    assert!(config["loaded_at"].is_string(), "{config}");
    assert_eq!((&config["error"], &config["needs_restart"]), (&serde_json::Value::Null, &false.into()));
    assert_eq!(status["service"]["url"], format!("http://{}", app.proxy));
}

#[tokio::test]
async fn a_refused_token_is_told_with_its_code_cause_and_mend() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .route_with("wrong", "/wrong", &sandbox.echo_url(), "scopes = [\"demo:vaer.read\"]")
        .start_cold()
        .await;
    until("the refusal is told", || async {
        json(&app, "/api/status").await["tokens"][0]["state"] == "refused"
    })
    .await;
    let token = json(&app, "/api/status").await["tokens"][0].clone();
    let error = &token["error"];
    assert!(error["code"].as_str().is_some_and(|code| code.starts_with("MP-2")), "{error}");
    for member in ["cause", "fix"] {
        assert!(error[member].as_str().is_some_and(|text| text.len() > 20), "{error}");
    }
    assert_eq!(token["expires_at"], serde_json::Value::Null);
    // The proxy's clients, the readiness and the page are told the same.
    let problem = app.get("/wrong/x").await;
    assert_eq!(problem.status, 502);
    let told = problem.json()["maskinporten"].clone();
    assert_eq!((&told["code"], &told["fix"]), (&error["code"], &error["fix"]));
    let ready = app.admin_get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(error["code"].as_str().expect("a code")), "{}", ready.text());
    let page = app.admin_get("/").await.text();
    assert!(page.contains(error["code"].as_str().expect("a code")) && page.contains("1 token needs help"));
}
