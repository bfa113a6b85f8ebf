//! Altinn's exchange: two tokens, two lives, two sets of errors.

use http::StatusCode;
use maskinporten_proxy::sandbox::{CONSUMER, Fault, Kind, Sandbox, SandboxOptions, Service};
use serde_json::Value;

use super::{get, token};
use crate::support::{App, Setup, sandbox, sandbox_with, until};
use crate::tokens::problem;

fn exchanged(sandbox: &Sandbox) -> Setup {
    Setup::new(sandbox).route_with("echo", "/echo", &sandbox.echo_url(), "exchange = \"altinn\"")
}

async fn ready(app: &App) {
    until("it is ready", || async { app.admin_get("/readyz").await.status == 200 }).await;
}

#[tokio::test]
async fn the_exchanged_token_may_be_bare_or_quoted_and_tells_its_own_end() {
    for quoted in [false, true] {
        let sandbox = sandbox().await;
        sandbox.control().set_altinn_quoted(quoted);
        let app = exchanged(&sandbox).start().await;
        let seen = token(&app, "/echo", &[]).await;
        assert_eq!((seen["issuer"].as_str(), seen["scope"].as_str()), (Some("altinn"), Some("demo:api")));
        // Altinn's half hour, not Maskinporten's two minutes.
        let left = app.token("echo").await["expires_in"].as_i64().expect("seconds");
        assert!((1_700..=1_801).contains(&left), "{left}");
        let used = &sandbox.control().altinn_requests()[0];
        assert_eq!(used.token_kind, Some(Kind::Maskinporten));
    }
}

#[tokio::test]
async fn a_claim_from_a_header_goes_through_the_exchange() {
    let sandbox = sandbox().await;
    let more = "exchange = \"altinn\"\nconsumer_org = { header = \"X-Org\" }";
    let app = Setup::new(&sandbox).route_with("echo", "/echo", &sandbox.echo_url(), more).start().await;
    let seen = token(&app, "/echo", &[("X-Org", CONSUMER)]).await;
    assert_eq!((seen["issuer"].as_str(), seen["consumer"].as_str()), (Some("altinn"), Some(CONSUMER)));
}

/// Loads the app until it has exchanged `times` times; no request may notice.
async fn load(app: &App, sandbox: &Sandbox, times: u64) {
    while sandbox.control().counts().altinn_requests < times {
        assert_eq!(get(app, "/echo", &[]).await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(sandbox.control().dead_tokens(), []);
    assert_eq!(sandbox.control().counts().unknown_tokens, 0);
}

#[tokio::test]
async fn a_maskinporten_token_with_time_left_is_exchanged_again() {
    let sandbox = sandbox_with(SandboxOptions { altinn_lifetime: 1, ..SandboxOptions::default() }).await;
    let app = exchanged(&sandbox).start().await;
    load(&app, &sandbox, 8).await;
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_maskinporten_token_near_its_end_is_renewed_before_the_exchange() {
    let options = SandboxOptions { token_lifetime: 1, altinn_lifetime: 3, ..SandboxOptions::default() };
    let sandbox = sandbox_with(options).await;
    let app = exchanged(&sandbox).start().await;
    load(&app, &sandbox, 4).await;
    let counts = sandbox.control().counts();
    assert_eq!(counts.token_requests, counts.altinn_requests, "each was too old for another exchange");
}

#[tokio::test]
async fn an_api_that_refuses_the_exchanged_token_has_both_fetched_anew() {
    let sandbox = sandbox().await;
    let app = exchanged(&sandbox).start().await;
    sandbox.control().revoke_tokens();
    assert_eq!(token(&app, "/echo", &[]).await["issuer"], "altinn");
    let counts = sandbox.control().counts();
    assert_eq!((counts.token_requests, counts.altinn_requests, counts.dead_tokens), (2, 2, 1));
}

#[tokio::test]
async fn a_held_maskinporten_token_that_altinn_refuses_is_replaced_once() {
    let sandbox = sandbox().await;
    let app = exchanged(&sandbox).start().await;
    sandbox.control().revoke_tokens_of(Kind::Maskinporten);
    assert_eq!(app.refresh("echo").await.status, 200);
    let counts = sandbox.control().counts();
    assert_eq!((counts.token_requests, counts.altinn_requests), (2, 3));
}

#[tokio::test]
async fn altinns_errors_are_told_apart_from_maskinportens() {
    let sandbox = sandbox().await;
    let faults = sandbox.control();
    let faults = faults.faults();
    faults.always(
        Service::Altinn,
        Fault::status(StatusCode::FORBIDDEN).body("the organisation is not known here"),
    );
    let app = exchanged(&sandbox).start_cold().await;
    for _ in 0..10 {
        let told = problem(&app.get("/echo").await, 502, "exchange-refused");
        let detail = told["detail"].as_str().expect("a text");
        assert!(detail.contains("Altinn") && detail.contains("not known here"), "{detail}");
        assert_eq!(told["maskinporten"], Value::Null);
    }
    assert_eq!(sandbox.control().counts().altinn_requests, 1, "not hammered");
    assert_eq!(app.token("echo").await["state"], "refused");

    faults.always(Service::Altinn, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    app.reload().await;
    until("the new fault is known", || async {
        let response = app.get("/echo").await;
        response.status == 503 && response.text().contains("Altinn's token exchange answered 503")
    })
    .await;
    assert!(app.admin_get("/readyz").await.text().contains("Altinn"));
    faults.clear(Service::Altinn);
    ready(&app).await;
    assert_eq!(token(&app, "/echo", &[]).await["issuer"], "altinn");

    let other = sandbox_with(SandboxOptions::default()).await;
    other.control().faults().always(Service::Token, Fault::refusal("MP-200").expect("a known code"));
    let app = exchanged(&other).start_cold().await;
    let told = problem(&app.get("/echo").await, 502, "token-refused");
    assert_eq!(told["maskinporten"]["code"], "MP-200");
    assert_eq!(other.control().counts().altinn_requests, 0);
}

#[tokio::test]
async fn an_answer_of_altinns_that_is_no_token_is_a_503_with_the_reason() {
    for (fault, reason) in [
        (Fault::empty(), "it is empty"),
        (Fault::html(), "it holds no token"),
        (Fault::status(StatusCode::OK).body("\"\""), "it holds no token"),
        (Fault::endless(), "longer than 65536 bytes"),
        (Fault::reset(), "could not be reached"),
    ] {
        let sandbox = sandbox().await;
        sandbox.control().faults().always(Service::Altinn, fault);
        let app = exchanged(&sandbox).start_cold().await;
        let told = problem(&app.get("/echo").await, 503, "token-unavailable");
        let detail = told["detail"].as_str().expect("a text");
        assert!(detail.contains("Altinn") && detail.contains(reason), "{detail}");
    }
}
