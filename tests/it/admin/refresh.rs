//! `POST /api/tokens/refresh`, the one thing that the admin listener changes.

use maskinporten_proxy::sandbox::{Fault, Service};

use super::{json, to_admin};
use crate::support::{App, RawResponse, Setup, sandbox};

async fn refresh(app: &App, headers: &str, body: &str) -> RawResponse {
    let length = body.len();
    to_admin(
        app,
        &format!(
            "POST /api/tokens/refresh HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            app.admin
        ),
    )
    .await
}

const MEANT: &str = "X-Maskinporten-Proxy: 1\r\n";
const BODY: &str = r#"{"client":"test","route":"echo"}"#;

#[tokio::test]
async fn a_token_is_fetched_anew_on_request() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let jti = |status: serde_json::Value| status["tokens"][0]["claims"]["jti"].clone();
    let before = jti(json(&app, "/api/status").await);
    assert_eq!(sandbox.control().counts().token_requests, 1);
    let answer = refresh(&app, MEANT, BODY).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "live");
    assert_eq!(sandbox.control().counts().token_requests, 2);
    let after = jti(json(&app, "/api/status").await);
    assert!(before.is_string() && before != after, "{before} {after}");
    assert_eq!(app.get("/echo/x").await.json()["authorization"]["jti"], after);
}

#[tokio::test]
async fn nothing_is_fetched_for_a_request_that_may_be_a_web_pages() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let own = format!("{MEANT}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", app.admin);
    let foreign = format!("{MEANT}Origin: https://evil.example\r\n");
    let fetched = format!("{MEANT}Sec-Fetch-Site: cross-site\r\n");
    for headers in ["", "X-Maskinporten-Proxy: 0\r\n", &foreign, &fetched] {
        let answer = refresh(&app, headers, BODY).await;
        assert_eq!(answer.status, 403, "{headers}: {}", answer.text());
        assert!(answer.headers("access-control-allow-origin").is_empty());
    }
    let rebound = format!(
        "POST /api/tokens/refresh HTTP/1.1\r\nHost: evil.example:{}\r\n{MEANT}Content-Length: {}\r\n\r\n{BODY}",
        app.admin.port(),
        BODY.len()
    );
    assert_eq!(to_admin(&app, &rebound).await.status, 403);
    let preflight = format!(
        "OPTIONS /api/tokens/refresh HTTP/1.1\r\nHost: {}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-maskinporten-proxy\r\n\r\n",
        app.admin
    );
    let answer = to_admin(&app, &preflight).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
    let get = format!("GET /api/tokens/refresh HTTP/1.1\r\nHost: {}\r\n{MEANT}\r\n", app.admin);
    let answer = to_admin(&app, &get).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(sandbox.control().counts().token_requests, 1, "only the first token was asked for");

    assert_eq!(refresh(&app, &own, BODY).await.status, 200, "the page's own button");
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_old_token_in_use() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let unknown = refresh(&app, MEANT, r#"{"client":"test","route":"no such"}"#).await;
    assert_eq!(unknown.status, 404);

    let refusal = Fault::refusal("MP-200").expect("a known code");
    sandbox.control().faults().always(Service::Token, refusal);
    let answer = refresh(&app, MEANT, BODY).await;
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("application/problem+json")));
    let told = answer.json()["maskinporten"].clone();
    assert_eq!(told["code"], "MP-200");
    assert!(told["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{told}");
    assert_eq!(app.get("/echo/x").await.status, 200, "the old token serves");
    let token = json(&app, "/api/status").await["tokens"][0].clone();
    assert_eq!((&token["state"], &token["error"]["code"]), (&"live".into(), &"MP-200".into()));
}
