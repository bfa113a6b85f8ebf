//! What cannot be used is told of, and changes nothing.

use maskinporten_proxy::oauth::TokenState;
use maskinporten_proxy::sandbox::{Fault, Service};

use super::{edit, mended, refused, reloads, replace, route, spoil, status, text};
use crate::support::{App, Setup, sandbox, until};

async fn app_of(sandbox: &maskinporten_proxy::sandbox::Sandbox) -> App {
    Setup::new(sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await
}

#[tokio::test]
async fn a_mistake_is_told_with_its_remedy_and_the_old_configuration_stays() {
    let sandbox = sandbox().await;
    let app = app_of(&sandbox).await;
    let good = text(&app);
    let loaded_at = status(&app).await["loaded_at"].clone();

    let told = spoil(&app, &good.replace("upstream =", "upstraem =")).await;
    assert!(told.contains("upstraem") && told.contains("did you mean `upstream`?"), "{told}");
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(status(&app).await["loaded_at"], loaded_at, "the old one is in force");
    assert!(reloads(&app, "failed").await >= 1);
    assert_eq!(reloads(&app, "ok").await, 0);

    replace(&app.config, &good);
    mended(&app).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(reloads(&app, "ok").await, 1);
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_half_written_file_is_not_used_and_the_whole_one_is() {
    let sandbox = sandbox().await;
    let app = app_of(&sandbox).await;
    let whole = text(&app) + &route("more", &sandbox.echo_url(), "demo:api");
    // In place, as `cp` writes it, and cut in the middle of a value.
    std::fs::write(&app.config, &whole[..whole.len() - 5]).unwrap();
    refused(&app).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    std::fs::write(&app.config, &whole).unwrap();
    mended(&app).await;
    assert_eq!(app.get("/more/x").await.status, 200);
}

#[tokio::test]
async fn a_file_that_vanishes_is_missed_and_taken_up_when_it_returns() {
    let sandbox = sandbox().await;
    let app = app_of(&sandbox).await;
    for file in [app.config.clone(), app.dir.path().join("key.pem")] {
        let away = file.with_extension("away");
        std::fs::rename(&file, &away).unwrap();
        let told = refused(&app).await;
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(told.contains(name), "{told}");
        assert_eq!(app.get("/echo/x").await.status, 200);
        std::fs::rename(&away, &file).unwrap();
        mended(&app).await;
    }
    assert_eq!(sandbox.control().counts().token_requests, 1);
}

#[tokio::test]
async fn a_key_that_came_after_the_configuration_naming_it_was_never_taken_up() {
    let sandbox = sandbox().await;
    let app = app_of(&sandbox).await;
    let told = spoil(&app, &text(&app).replace("key.pem", "later.pem")).await;
    assert!(told.contains("later.pem"), "{told}");
    // Nothing but the missing file changes from here on.
    std::fs::copy(app.dir.path().join("key.pem"), app.dir.path().join("later.pem")).unwrap();
    mended(&app).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(sandbox.control().counts().token_requests, 1, "it is the same key");
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_told_and_the_old_trust_stays() {
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[upstream]\nca_file = \"ca.pem\"\n");
    let ca = setup.dir().join("ca.pem");
    let certificate = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap().cert.pem();
    replace(&ca, &certificate);
    let app = setup.start().await;
    replace(&ca, "not a certificate");
    let told = refused(&app).await;
    assert!(told.contains("ca.pem"), "{told}");
    assert_eq!(app.get("/echo/x").await.status, 200);
    let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap().cert.pem();
    replace(&ca, &other);
    mended(&app).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
}

#[tokio::test]
async fn a_listener_that_others_reach_does_not_lose_its_password_before_the_restart() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"")
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[inbound]\npassword = \"hemmelig\"\n")
        .start()
        .await;
    let get = async || {
        let port = app.proxy.port();
        let mut raw = crate::support::Raw::connect(([127, 0, 0, 1], port).into()).await;
        raw.exchange(format!("GET /echo/x HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")).await.status
    };
    assert_eq!(get().await, 407);
    // On its own this configuration is good: it listens on loopback. The socket that is bound
    // does not.
    let good = text(&app).replace("0.0.0.0:0", "127.0.0.1:0").replace("password = \"hemmelig\"", "");
    replace(&app.config, &good);
    until("it is refused", async || app.running.live.error().is_some()).await;
    assert_eq!(get().await, 407, "the password is still asked for");
    let told = app.running.live.error().unwrap();
    assert!(told.contains("restart") && told.contains("password"), "{told}");
}

#[tokio::test]
async fn refused_tokens_are_asked_for_again_on_reload() {
    let sandbox = sandbox().await;
    let control = sandbox.control();
    control.faults().always(Service::Token, Fault::refusal("MP-100").unwrap());
    let app = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .route_with("customer", "/customer", &sandbox.echo_url(), "pid = { header = \"X-Pid\" }")
        .start_cold()
        .await;
    let state = || {
        let sources = app.running.live.load_full().fixed_sources();
        sources[0].status().state
    };
    until("the token is refused", async || state() == TokenState::Refused).await;
    let with_pid = async || {
        let request =
            format!("GET /customer/x HTTP/1.1\r\nHost: {}\r\nX-Pid: 01017000027\r\n\r\n", app.proxy);
        app.raw(&request).await.status
    };
    assert_eq!((app.get("/echo/x").await.status, with_pid().await), (502, 502));
    let asked = control.counts().token_requests;
    assert_eq!((app.get("/echo/x").await.status, with_pid().await), (502, 502));
    assert_eq!(control.counts().token_requests, asked, "a refusal is not hammered");

    control.faults().clear(Service::Token);
    edit(&app, |text| format!("# mended at Digdir's\n{text}")).await;
    until("the token is had", async || state() == TokenState::Live).await;
    assert_eq!((app.get("/echo/x").await.status, with_pid().await), (200, 200));
}
