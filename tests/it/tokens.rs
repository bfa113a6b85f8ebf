//! The life of tokens: whatever happens at Maskinporten, in the clocks, to the key or at the API,
//! no request fails that could have been served, and no dead token is sent.

mod answers;
mod clocks;
mod cold;
mod keys;
mod lives;
mod network;
mod proxies;
mod refusals;
mod unauthorized;

use maskinporten_proxy::sandbox::Sandbox;

use crate::support::{App, RawResponse, Setup};

/// A set-up with one route to the sandbox's echo, at `/echo`.
fn echo(sandbox: &Sandbox) -> Setup {
    Setup::new(sandbox).route("echo", "/echo", &sandbox.echo_url())
}

/// Checks that it is a problem of the proxy's own of this kind, and gives its text.
pub(crate) fn problem(response: &RawResponse, status: u16, slug: &str) -> serde_json::Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert!(response.header("proxy-status").expect("it is the proxy's").contains("error="));
    let body = response.json();
    assert_eq!(body["type"], format!("urn:maskinporten-proxy:{slug}"));
    body
}

/// What the echo says of the token that a GET came with.
async fn token_of(app: &App) -> serde_json::Value {
    let response = app.get("/echo").await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["authorization"].clone()
}
