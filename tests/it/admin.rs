//! The admin listener over the whole app: what it tells must be what happened.

mod health;
mod metrics;
mod refresh;
mod requests;
mod timings;

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{App, Raw, RawResponse, until};

/// The JSON of an address of the admin listener.
async fn json(app: &App, path: &str) -> Value {
    let answer = app.admin_get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// The newest `count` requests, once there are so many.
async fn requests(app: &App, count: usize) -> Vec<Value> {
    let all = || async { json(app, "/api/requests").await.as_array().cloned().expect("an array") };
    until(&format!("{count} requests are listed"), || async { all().await.len() >= count }).await;
    let all = all().await;
    assert_eq!(all.len(), count, "{all:#?}");
    all
}

/// A whole request to the admin listener.
async fn to_admin(app: &App, request: &str) -> RawResponse {
    exchange(app.admin, request).await
}

async fn exchange(address: SocketAddr, request: &str) -> RawResponse {
    let mut raw = Raw::connect(address).await;
    raw.write(request).await;
    raw.response_to(request.split(' ').next().expect("a method")).await
}
