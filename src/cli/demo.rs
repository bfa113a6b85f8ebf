//! `demo`: a sandbox and a proxy in one process, and a first request that shows them at work.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::http::header::HOST;
use ::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;

use super::args::{DemoArgs, Global};
use super::failure::{Failure, Outcome};
use super::{process, serve, setup};
use crate::app::{self, Addresses, Options};
use crate::config::{Listen, LoadRequest, Overrides};
use crate::sandbox::{Sandbox, SandboxOptions};

/// What is shown of the first answer, in characters.
const SHOWN: usize = 600;

pub(super) fn run(global: &Global, args: &DemoArgs) -> Outcome {
    let logging = setup::demo_logging(global)?;
    process::harden();
    let files = Files::make()?;
    process::runtime()?.block_on(async {
        let sandbox = Sandbox::start(SandboxOptions::default())
            .await
            .map_err(|error| Failure::run_time(error).context("the sandbox does not start"))?;
        let written = sandbox.write_out(&files.0).map_err(|error| {
            Failure::run_time(error).context(format!("cannot write into {}", files.0.display()))
        })?;
        let request = LoadRequest {
            files: vec![written.config],
            flags: overrides(args),
            env: BTreeMap::new(),
            cwd: files.0.clone(),
        };
        let options = Options { reload_on_hangup: false, ..serve::options(logging.access()) };
        let bound = app::bind(setup::loader(request), options).await.map_err(|error| {
            setup::of_start(error)
                .hint("the demo's ports can be chosen: demo --listen 127.0.0.1:0 --admin 127.0.0.1:0")
        })?;
        let running = bound.running();
        let (stop, abort) = process::signals()?;
        let shown = async {
            // Said when there is something to say; the proxy serves meanwhile.
            if let Err(failure) = running.tokens().await {
                tracing::error!("no token from the sandbox: {}", failure.error);
            }
            show(&running.addresses, &sandbox).await;
            stop.await;
        };
        let outcome = bound.run(shown, abort).await.map_err(setup::of_start)?;
        serve::end(outcome)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Flags win over the environment, and the environment over the usual ports.
fn overrides(args: &DemoArgs) -> Overrides {
    let chosen = |flag: &Option<String>, variable: &str, usual: &str| {
        let from_environment = || std::env::var(variable).ok().filter(|value| !value.is_empty());
        Some(flag.clone().or_else(from_environment).unwrap_or_else(|| usual.to_owned()))
    };
    Overrides {
        listen: chosen(&args.listen, "MASKINPORTEN_PROXY_LISTEN", "127.0.0.1:8080"),
        admin: chosen(&args.admin, "MASKINPORTEN_PROXY_ADMIN", "127.0.0.1:8081"),
        ..Overrides::default()
    }
}

async fn show(addresses: &Addresses, sandbox: &Sandbox) {
    let proxy = addresses.proxy_url().unwrap_or_else(|| addresses.proxy.to_string());
    let admin = addresses.admin_url();
    let mut text = format!(
        "\nmaskinporten-proxy demo: everything below runs in this process, nothing leaves your machine.\n\n\
         \x20 Maskinporten and the API (sandbox)   {}\n\
         \x20 the proxy                            {proxy}\n",
        sandbox.api_url(),
    );
    if let Some(admin) = &admin {
        text.push_str(&format!("  status page                          {admin}\n"));
    }
    text.push_str(&first_request(addresses, &proxy).await);
    text.push_str(&format!(
        "\nTry it yourself, in another terminal:\n\n\
         \x20 curl {proxy}/clients\n\
         \x20 curl {proxy}/clients -H 'Content-Type: application/json' -d '{NEW_CLIENT}'\n\
         \x20 curl {proxy}/scopes\n\
         \x20 curl {proxy}/echo/anything?you=like      # what the API receives\n\
         \x20 curl -i {}/clients               # without the proxy: 401\n\n\
         In Postman: make a request to {proxy}/clients, leave Authorization at No Auth, and Send.\n\n\
         Ctrl-C stops it.\n",
        sandbox.api_url(),
    ));
    let mut stdout = std::io::stdout().lock();
    // A demo whose reader has left goes on serving.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

const NEW_CLIENT: &str = r#"{"integration_type":"maskinporten","client_name":"my first","description":"made in the demo","token_endpoint_auth_method":"private_key_jwt","grant_types":["urn:ietf:params:oauth:grant-type:jwt-bearer"],"scopes":[]}"#;

/// Makes a request as any client would, without a token, and tells what came back.
async fn first_request(addresses: &Addresses, proxy: &str) -> String {
    let Listen::Tcp(address) = addresses.proxy else { return String::new() };
    let started = Instant::now();
    match tokio::time::timeout(Duration::from_secs(10), get(address, "/clients")).await {
        Ok(Ok((status, body))) => {
            let took = started.elapsed();
            format!(
                "\nA first request, sent without any token:\n\n  $ curl {proxy}/clients\n  {status} in {:.1} ms\n{}",
                took.as_secs_f64() * 1000.0,
                indented(&body),
            )
        }
        Ok(Err(error)) => format!("\nThe first request failed: {error}\n"),
        Err(_) => "\nThe first request was not answered within 10 seconds.\n".to_owned(),
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// JSON as a person reads it, cut to what fits on a screen.
fn indented(body: &str) -> String {
    let pretty = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| body.to_owned());
    let mut shown: String = pretty.chars().take(SHOWN).collect();
    if shown.len() < pretty.len() {
        shown.push_str("\n…");
    }
    shown.lines().map(|line| format!("  {line}\n")).collect()
}

/// A private folder for the demo's key and configuration, removed at the end.
struct Files(PathBuf);

impl Files {
    fn make() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("maskinporten-proxy-demo-{}", std::process::id()));
        let made = make_private(&path);
        made.map_err(|error| Failure::run_time(error).context(format!("cannot make {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left behind is a key that opens nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir(path)
}
