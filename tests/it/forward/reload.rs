//! The local CA at start and as it changes: what is covered, what is not, and what mends it.

use std::process::Command;

use super::tls;
use super::{API, World, connect, make_ca, root_of, slug, tunnel};
use crate::support::{Setup, private, sandbox, until};

#[tokio::test]
async fn interception_without_a_ca_is_refused_at_start() {
    let sandbox = sandbox().await;
    // The program itself, since its exit code and words are what counts.
    let dir = tempfile::tempdir().expect("a folder");
    let credentials = sandbox.credentials();
    let key = dir.path().join("key.pem");
    std::fs::write(&key, credentials.key_pem.expose()).expect("a written key");
    private(&key);
    let config = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"off\"\n\n[clients.test]\nissuer = \"{}\"\nclient_id = \"{}\"\n\
         key = {{ file = \"key.pem\", kid = \"{}\" }}\n\n[[routes]]\nname = \"api\"\npath = \"/\"\n\
         upstream = \"https://api.example.test\"\nscopes = [\"demo:api\"]\n\n[forward]\nintercept = true\n",
        sandbox.issuer(),
        credentials.client_id,
        credentials.kid
    );
    std::fs::write(dir.path().join("proxy.toml"), config).expect("a written configuration");
    let program = env!("CARGO_BIN_EXE_maskinporten-proxy");
    let folder = dir.path().to_owned();
    let run = move || Command::new(program).arg("serve").current_dir(folder).output().expect("it runs");
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("intercept") && stderr.contains("maskinporten-proxy ca init"), "{stderr}");
    assert!(!dir.path().join("maskinporten-proxy-ca").exists(), "none is made unasked");
}

#[tokio::test]
async fn a_new_routed_host_is_warned_of_and_refused_until_a_new_ca_covers_it() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let setup = world.routed(&sandbox).with("\n[forward]\nintercept = true\n");
    make_ca(setup.dir(), &["old.example.test"], false);
    let app = setup.start().await;
    let warnings = app.running.live.load().warnings.join("\n");
    assert!(warnings.contains(API) && warnings.contains("ca init --force"), "{warnings}");

    let (response, _) = connect(&app, "api.example.test:443").await;
    assert_eq!((response.status, slug(&response).as_str()), (403, "name-not-in-ca"));
    assert!(response.text().contains("maskinporten-proxy ca init --force"), "{}", response.text());
    assert!(world.outbound.asked().is_empty());
    // The way without a CA still stands open.
    assert_eq!(super::get(&app, "http://api.example.test/v1/x").await.status, 200);

    let old = root_of(&app);
    make_ca(app.dir.path(), &[API], true);
    until("the new CA is in force", async || connect(&app, "api.example.test:443").await.0.status == 200)
        .await;
    let stream = tunnel(&app, "api.example.test:443").await;
    tls::handshake(tls::trusting(&root_of(&app), &[]), API, stream).await.expect("the new root vouches");
    let stream = tunnel(&app, "api.example.test:443").await;
    tls::handshake(tls::trusting(&old, &[]), API, stream).await.expect_err("the old root does not");
    let warnings = &app.running.live.load().warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("CA")), "{warnings:?}");
}

#[tokio::test]
async fn a_ca_made_after_interception_was_switched_on_was_not_noticed() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let mut text = std::fs::read_to_string(&app.config).expect("the configuration");
    text.push_str("\n[forward]\nintercept = true\n");
    std::fs::write(&app.config, text).expect("a written configuration");
    let status = async || app.admin_get("/api/status").await.json()["config"]["error"].clone();
    until("the reload is refused", async || {
        status().await.as_str().is_some_and(|error| error.contains("intercept"))
    })
    .await;
    let (response, _) = connect(&app, "api.example.test:443").await;
    assert_eq!(slug(&response), "interception-off", "the old configuration stays");

    make_ca(app.dir.path(), &[API], false);
    until("interception works", async || connect(&app, "api.example.test:443").await.0.status == 200).await;
    assert!(status().await.is_null());
}

#[tokio::test]
async fn a_tunnel_outlives_a_reload_and_then_serves_by_the_new_routes() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let stream = tunnel(&app, "api.example.test:443").await;
    let trusting = tls::trusting(&root_of(&app), &[]);
    let mut raw = tls::raw_inside(tls::handshake(trusting, API, stream).await.expect("TLS")).await;
    let request = format!("GET /v1/x HTTP/1.1\r\nHost: {API}\r\n\r\n");
    assert_eq!(raw.exchange(&request).await.status, 200);
    let text = std::fs::read_to_string(&app.config).expect("the configuration");
    let moved = text.replace("https://api.example.test/v1", "https://api.example.test/v2");
    std::fs::write(&app.config, moved).expect("a written configuration");
    until("the new route is in force", async || {
        app.running.live.load().all_routes().any(|route| route.config.upstream.path.as_str() == "/v2")
    })
    .await;
    assert_eq!(raw.exchange(&request).await.status, 404);
    assert_eq!(raw.exchange(request.replace("/v1", "/v2")).await.status, 200);
}

#[tokio::test]
async fn names_of_routes_count_without_their_trailing_dot() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let setup = world.setup(&sandbox);
    make_ca(setup.dir(), &["localhost"], false);
    let app: crate::support::App = Setup::route(setup, "api", "/api", "https://localhost./v1")
        .with("\n[forward]\nintercept = true\n")
        .start_cold()
        .await;
    assert!(app.running.live.load().warnings.is_empty(), "{:?}", app.running.live.load().warnings);
    let stream = tunnel(&app, "localhost.:443").await;
    tls::handshake(tls::trusting(&root_of(&app), &[]), "localhost", stream).await.expect("TLS");
}
