//! Reload: a good configuration takes effect and costs nobody anything; a bad one changes nothing
//! and is told of.

mod bad;
mod keys;
#[cfg(unix)]
mod signal;
mod under_load;

use std::path::Path;

use serde_json::Value;

use crate::support::{Answer, App, Setup, Upstream, sandbox, until};

/// Puts a file in place by a rename, as editors and Kubernetes do.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a written file");
    crate::support::private(&new);
    std::fs::rename(&new, path).expect("a rename");
}

/// Edits the configuration and waits until the edited one is in force.
async fn edit(app: &App, change: impl FnOnce(&str) -> String) {
    let before = reloads(app, "ok").await;
    replace(&app.config, &change(&text(app)));
    until("the new configuration is in force", || async { reloads(app, "ok").await > before }).await;
}

/// Writes a configuration that cannot be used, and waits until that is told.
async fn spoil(app: &App, text: &str) -> String {
    replace(&app.config, text);
    refused(app).await
}

/// Waits until the newest configuration is told to be no good, and why.
async fn refused(app: &App) -> String {
    until("the configuration is refused", || async { app.running.live.error().is_some() }).await;
    status(app).await["error"].as_str().expect("the reason").to_owned()
}

/// Waits until the newest configuration is in force.
async fn mended(app: &App) {
    until("the configuration is good again", || async { app.running.live.error().is_none() }).await;
}

fn text(app: &App) -> String {
    std::fs::read_to_string(&app.config).expect("a configuration")
}

/// `config` of `/api/status`.
async fn status(app: &App) -> Value {
    app.admin_get("/api/status").await.json()["config"].clone()
}

/// What the metrics say of reloads.
async fn reloads(app: &App, outcome: &str) -> u64 {
    let metrics = app.admin_get("/metrics").await.text();
    let name = format!("maskinporten_proxy_config_reloads_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("the metric");
    line.parse().expect("a number")
}

fn route(name: &str, upstream: &str, scopes: &str) -> String {
    format!(
        "\n[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{upstream}\"\nscopes = [\"{scopes}\"]\n"
    )
}

#[tokio::test]
async fn new_routes_serve_and_removed_routes_are_gone() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("one", "/one", &upstream.url()).start().await;
    assert_eq!(app.get("/two").await.status, 404);
    let first = text(&app);

    edit(&app, |text| text.to_owned() + &route("two", &upstream.url(), "demo:api")).await;
    assert_eq!(app.get("/two").await.status, 200);
    assert_eq!(app.get("/one").await.status, 200);
    assert_eq!(sandbox.control().counts().token_requests, 1, "the same token serves both routes");

    edit(&app, |text| text.replace("name = \"two\"\npath = \"/two\"", "name = \"two\"\npath = \"/three\""))
        .await;
    assert_eq!((app.get("/two").await.status, app.get("/three").await.status), (404, 200));

    edit(&app, |_| first).await;
    assert_eq!((app.get("/three").await.status, app.get("/one").await.status), (404, 200));
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_route_with_other_scopes_gets_one_token_and_the_others_keep_theirs() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    edit(&app, |text| text.to_owned() + &route("clients", &sandbox.api_url(), "idporten:dcr.read")).await;
    app.running.tokens().await.expect("tokens");
    assert_eq!(sandbox.control().counts().token_requests, 2);
    assert_eq!(app.get("/clients/clients").await.status, 200);
    assert_eq!(app.get("/echo/x").await.status, 200);
    let scopes: Vec<_> =
        app.admin_get("/api/status").await.json()["tokens"].as_array().expect("tokens").clone();
    assert_eq!(scopes.len(), 2);
    assert_eq!(sandbox.control().counts().token_requests, 2);
}

#[tokio::test]
async fn another_way_out_keeps_the_tokens() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    edit(&app, |text| format!("{text}\n[upstream]\nconnect_timeout = \"3s\"\n")).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn another_inbound_password_takes_effect_at_once() {
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[inbound]\npassword = { file = \"password\" }\n");
    let file = setup.dir().join("password");
    replace(&file, "the first one\n");
    let app = setup.start().await;
    let get = async |password: &str| {
        let request = format!(
            "GET /echo/x HTTP/1.1\r\nHost: {}\r\nProxy-Authorization: Bearer {password}\r\n\r\n",
            app.proxy
        );
        app.raw(&request).await.status
    };
    assert_eq!((get("the-first-one").await, get("wrong").await), (407, 407));
    replace(&file, "first\n");
    until("the first password is asked for", async || get("first").await == 200).await;

    replace(&file, "second\n");
    until("the second password is asked for", async || get("second").await == 200).await;
    assert_eq!(get("first").await, 407, "the first one is not good any more");

    replace(&file, "\n");
    until("no password is asked for", async || get("").await == 200).await;
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn what_belongs_to_the_process_is_told_to_need_a_restart() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let first = text(&app);
    edit(&app, |text| {
        text.replacen("127.0.0.1:0", "127.0.0.1:1", 1).replace("threads = 2", "threads = 3")
            + &route("more", &sandbox.echo_url(), "demo:api")
    })
    .await;
    let told = status(&app).await;
    assert_eq!(told["needs_restart"], true);
    assert_eq!(told["restart_for"], serde_json::json!(["listen", "threads"]));
    assert_eq!(told["error"], Value::Null);
    assert_eq!(app.get("/more/x").await.status, 200, "what can take effect does");

    edit(&app, |_| first).await;
    assert_eq!(status(&app).await["needs_restart"], false, "it is as it was at the start");
}
