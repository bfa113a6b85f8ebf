//! Refusals of Maskinporten's that only a person can mend.

use maskinporten_proxy::sandbox::{Fault, Outcome, Service};

use crate::support::{sandbox, until};
use crate::tokens::{echo, problem, token_of};

const FOR_GOOD: [&str; 15] = [
    "MP-011", "MP-100", "MP-110", "MP-120", "MP-121", "MP-122", "MP-123", "MP-124", "MP-200", "MP-201",
    "MP-250", "MP-251", "MP-301", "MP-302", "MP-303",
];

/// The sandbox names most codes in `error_uri` alone, as Maskinporten does.
#[tokio::test]
async fn a_refusal_is_told_at_once_with_its_code_and_asked_again_on_reload_alone() {
    let sandbox = sandbox().await;
    let refuse = |code| {
        let fault = Fault::refusal(code).expect("the sandbox knows the code");
        sandbox.control().faults().always(Service::Token, fault);
    };
    refuse(FOR_GOOD[0]);
    let app = echo(&sandbox).start_cold().await;
    problem(&app.get("/echo").await, 502, "token-refused");

    for code in FOR_GOOD {
        refuse(code);
        let before = sandbox.control().counts().token_requests;
        app.reload().await;
        sandbox.control().until(|counts| counts.token_requests > before).await;
        until("the refusal is known", || async { app.token("echo").await["error"]["code"] == code }).await;
        for _ in 0..20 {
            let response = app.get("/echo").await;
            let told = problem(&response, 502, "token-refused");
            assert_eq!(response.header("retry-after"), None);
            let refusal = &told["maskinporten"];
            assert_eq!(refusal["code"], code, "{told}");
            for member in ["error", "error_description", "error_uri", "cause", "fix"] {
                assert!(refusal[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {told}");
            }
            assert!(told["detail"].as_str().is_some_and(|detail| detail.contains(code)), "{told}");
        }
        assert_eq!(sandbox.control().counts().token_requests, before + 1, "{code}");

        let token = app.token("echo").await;
        assert_eq!(token["state"], "refused", "{code}");
        assert!(token["error"]["cause"].is_string() && token["error"]["fix"].is_string(), "{token}");
        let ready = app.admin_get("/readyz").await;
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains(code), "{}", ready.text());
        assert!(app.admin_get("/").await.text().contains(code));
    }
    let refused = app.metric("token_fetches_total{client=\"test\",outcome=\"refused\"}").await;
    assert_eq!(refused, Some(sandbox.control().counts().token_requests as f64));

    sandbox.control().faults().clear(Service::Token);
    app.reload().await;
    until("it is ready", || async { app.admin_get("/readyz").await.status == 200 }).await;
    token_of(&app).await;
}

#[tokio::test]
async fn a_grant_that_was_used_before_is_followed_by_one_fresh_one_at_once() {
    for code in ["MP-012", "MP-130"] {
        let sandbox = sandbox().await;
        sandbox.control().faults().next(Service::Token, 1, Fault::refusal(code).expect("a known code"));
        let app = echo(&sandbox).start_cold().await;
        token_of(&app).await;
        let requests = sandbox.control().token_requests();
        assert_eq!(requests.len(), 2, "{code}");
        assert_eq!(requests[0].outcome, Outcome::Refused(code.to_owned()));
        assert_ne!(requests[0].claims.text("jti"), requests[1].claims.text("jti"));
    }
}

#[tokio::test]
async fn every_attempt_is_signed_anew_and_holds_what_it_must_and_nothing_else() {
    let sandbox = sandbox().await;
    sandbox.control().faults().next(Service::Token, 3, Fault::empty());
    let app = echo(&sandbox).start_cold().await;
    until("it is ready", || async { app.admin_get("/readyz").await.status == 200 }).await;
    let requests = sandbox.control().token_requests();
    assert_eq!(requests.len(), 4);
    let mut ids = std::collections::HashSet::new();
    for request in &requests {
        let mut names: Vec<&str> = request.claims.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "scope"]);
        let mut header: Vec<&str> = request.header.keys().map(String::as_str).collect();
        header.sort_unstable();
        assert_eq!(header, ["alg", "kid"]);
        let seconds = |name: &str| request.claims.get(name).and_then(serde_json::Value::as_u64).expect(name);
        assert_eq!(seconds("exp") - seconds("iat"), 120);
        assert_eq!(request.claims.text("aud"), Some(sandbox.issuer().as_str()));
        assert!(ids.insert(request.claims.text("jti").expect("an id").to_owned()), "a jti was used twice");
    }
}
