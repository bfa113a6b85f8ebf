//! What stands between the listeners and whoever reaches them: the password, TLS, client
//! certificates, Unix sockets; and starts that are refused for want of them.

mod exposed;
mod process;
mod tls;
#[cfg(unix)]
mod unix;

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{Answer, App, LIMIT, Raw, RawResponse, Setup, Upstream, sandbox};

const PASSWORD: &str = "hemmelig: p\u{e5}-\u{f8}";

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Writes a request and reads until the other side closes.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> String {
    // A peer that has closed already shows in what is read.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut response = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut response)).await.expect("an end in time");
    match read {
        Ok(_) => String::from_utf8_lossy(&response).into_owned(),
        Err(error) => format!("{}{error}", String::from_utf8_lossy(&response)),
    }
}

async fn app_with_password(password: &str, upstream: &Upstream) -> App {
    let sandbox = sandbox().await;
    Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .with(&format!("[inbound]\npassword = {password}\n"))
        .start()
        .await
}

async fn get(app: &App, credentials: &str) -> RawResponse {
    let lines = if credentials.is_empty() { String::new() } else { format!("{credentials}\r\n") };
    app.raw(&format!("GET /x HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", app.proxy)).await
}

#[tokio::test]
async fn the_password_is_asked_for_and_goes_no_further() {
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let app = app_with_password(&format!("{PASSWORD:?}"), &upstream).await;
    let right = basic("anyone", PASSWORD);
    for credentials in [
        String::new(),
        "Proxy-Authorization: ".into(),
        "Proxy-Authorization: Basic".into(),
        "Proxy-Authorization: Bearer ".into(),
        format!("Proxy-Authorization: {}", basic("anyone", "wrong")),
        format!("Proxy-Authorization: {}", basic("anyone", &PASSWORD[..PASSWORD.len() - 2])),
        format!("Proxy-Authorization: {}", basic("anyone", &format!("{PASSWORD}x"))),
        format!("Proxy-Authorization: {}", basic("anyone", "")),
        format!("Proxy-Authorization: {}", BASE64_STANDARD.encode(PASSWORD)),
        format!("Proxy-Authorization: Basic {}", PASSWORD),
        format!("Proxy-Authorization: Digest {PASSWORD}"),
        "Proxy-Authorization: Bearer hemmelig".into(),
        // What the API's own field says is nothing to the listener.
        format!("Authorization: {right}"),
        // Two answers to one question.
        format!("Proxy-Authorization: {right}\r\nProxy-Authorization: {right}"),
    ] {
        let response = get(&app, &credentials).await;
        assert_eq!(response.status, 407, "{credentials}");
        let schemes = response.headers("proxy-authenticate");
        assert!(schemes.iter().any(|scheme| scheme.starts_with("Basic realm=")), "{schemes:?}");
        assert!(schemes.iter().any(|scheme| scheme.starts_with("Bearer")), "{schemes:?}");
        assert_eq!(response.json()["type"], "urn:maskinporten-proxy:proxy-password");
        assert!(!response.text().contains(PASSWORD) && !response.head.contains("hemmelig"));
    }
    // Every form of request is asked.
    for request in [
        format!("GET http://{0}/x HTTP/1.1\r\nHost: {0}\r\n\r\n", upstream.address),
        "GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned(),
        format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", upstream.address),
        "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n".to_owned(),
        format!("OPTIONS * HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy),
    ] {
        let mut raw = Raw::connect(app.proxy).await;
        assert_eq!(raw.exchange(&request).await.status, 407, "{request}");
    }
    assert!(upstream.seen().is_empty(), "the refused were seen");

    for (times, credentials) in [
        right.clone(),
        basic("", PASSWORD),
        right.replace("Basic", "bAsIc"),
        right.trim_end_matches('=').to_owned(),
        format!("Bearer {PASSWORD}"),
        format!("bearer  {PASSWORD}"),
    ]
    .iter()
    .enumerate()
    {
        let response = get(&app, &format!("Proxy-Authorization: {credentials}")).await;
        assert_eq!(response.status, 200, "{credentials}: {}", response.text());
        let seen = upstream.seen();
        assert_eq!(seen.len(), times + 1);
        let head = &seen.last().expect("a request").head;
        assert!(!head.to_ascii_lowercase().contains("\r\nproxy-"), "{head}");
        assert!(!head.contains("hemmelig") && !head.contains(&right["Basic ".len()..]), "{head}");
    }
    // On loopback the status page needs none.
    assert_eq!(app.admin_get("/").await.status, 200);
}

#[tokio::test]
async fn the_password_comes_from_a_file_or_a_command() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let sources = [
        format!("{{ file = {file:?} }}"),
        format!("{{ command = {:?} }}", format!("cat {}", file.display())),
    ];
    for source in sources {
        let upstream = Upstream::always(Answer::ok("ok")).await;
        let app = app_with_password(&source, &upstream).await;
        assert_eq!(get(&app, "").await.status, 407, "{source}");
        let right = format!("Proxy-Authorization: Bearer {PASSWORD}");
        assert_eq!(get(&app, &right).await.status, 200, "{source}");
    }
}

#[tokio::test]
async fn a_password_that_changes_takes_effect_without_a_restart() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
    let file = setup.dir().join("password");
    std::fs::write(&file, "old-password").expect("a file");
    let app = setup.with("[inbound]\npassword = { file = \"password\" }\n").start().await;
    assert_eq!(get(&app, "Proxy-Authorization: Bearer old-password").await.status, 200);
    std::fs::write(&file, "new-password").expect("a file");
    crate::support::until("the new password is in force", async || {
        get(&app, "Proxy-Authorization: Bearer new-password").await.status == 200
    })
    .await;
    assert_eq!(get(&app, "Proxy-Authorization: Bearer old-password").await.status, 407);
}

/// The configuration of a proxy for the real binary: a key, one route, and `more`.
fn write_config(dir: &Path, sandbox: &maskinporten_proxy::sandbox::Sandbox, top: &str, more: &str) {
    let credentials = sandbox.credentials();
    std::fs::write(dir.join("key.pem"), credentials.key_pem.expose()).expect("a key");
    crate::support::private(&dir.join("key.pem"));
    let text = format!(
        "{top}\n[clients.test]\nissuer = \"{}\"\ntoken_endpoint = \"{}\"\nclient_id = \"{}\"\n\
         key = {{ file = \"key.pem\", kid = \"{}\" }}\n\n[[routes]]\nname = \"api\"\npath = \"/\"\n\
         upstream = \"{}\"\nscopes = [\"demo:api\"]\n\n{more}\n",
        sandbox.issuer(),
        sandbox.token_endpoint(),
        credentials.client_id,
        credentials.kid,
        sandbox.echo_url(),
    );
    std::fs::write(dir.join("proxy.toml"), text).expect("a configuration");
    crate::support::private(&dir.join("proxy.toml"));
}
