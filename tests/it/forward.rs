//! Forward mode: requests in absolute form and CONNECT, with and without interception.

mod absolute;
mod destinations;
mod intercept;
mod outbound;
mod reload;
mod tls;
mod tunnel;

use std::path::Path;
use std::time::SystemTime;

use maskinporten_proxy::ca::{self, RoutedNames};
use maskinporten_proxy::sandbox::Sandbox;
use tokio::net::TcpStream;

use crate::support::{Answer, App, Raw, RawResponse, Setup, Upstream};

use self::outbound::Outbound;
use self::tls::TlsFront;

/// A name that only the outbound proxy of the tests knows.
const API: &str = "api.example.test";

/// An API at `https://api.example.test`, reached through an outbound proxy, and another host.
struct World {
    /// What stands behind the API's TLS.
    api: Upstream,
    front: TlsFront,
    /// `http://other.example.test`.
    other: Upstream,
    outbound: Outbound,
}

impl World {
    async fn new() -> Self {
        Self::answering(Answer::ok("from the API")).await
    }

    async fn answering(answer: Answer) -> Self {
        let api = Upstream::always(answer).await;
        let front = TlsFront::start(&[API], &api).await;
        let other = Upstream::always(Answer::ok("from another host")).await;
        let outbound = Outbound::start(&[
            ("api.example.test:443", front.address),
            ("api.example.test:8443", other.address),
            ("api.example.test:80", other.address),
            ("other.example.test:80", other.address),
            ("other.example.test:443", front.address),
        ])
        .await;
        Self { api, front, other, outbound }
    }

    /// A configuration that reaches this world; routes are still to come.
    fn setup(&self, sandbox: &Sandbox) -> Setup {
        let setup = Setup::new(sandbox);
        std::fs::write(setup.dir().join("api-ca.pem"), &self.front.ca).expect("a written CA");
        setup.with(&format!("\n[upstream]\nca_file = \"api-ca.pem\"\n{}", self.outbound.setting()))
    }

    fn routed(&self, sandbox: &Sandbox) -> Setup {
        self.setup(sandbox).route("api", "/api", "https://api.example.test/v1")
    }

    fn intercepting(&self, sandbox: &Sandbox) -> Setup {
        let setup = self.routed(sandbox).with("\n[forward]\nintercept = true\n");
        make_ca(setup.dir(), &[API], false);
        setup
    }
}

fn make_ca(config_dir: &Path, hosts: &[&str], force: bool) {
    let names: RoutedNames = hosts.iter().map(|host| host.parse().expect("a host")).collect();
    ca::init(&ca::default_dir(config_dir), &names, force, SystemTime::now()).expect("a CA");
}

fn root_of(app: &App) -> String {
    tls::read(&ca::default_dir(app.dir.path()).join("root.pem"))
}

/// A CONNECT as curl makes it: the answer, and the connection.
async fn connect(app: &App, authority: &str) -> (RawResponse, Raw) {
    connect_with(app, authority, "").await
}

/// The same with more fields, each with its CRLF.
async fn connect_with(app: &App, authority: &str, fields: &str) -> (RawResponse, Raw) {
    let mut raw = app.connect().await;
    raw.write(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")).await;
    let response = raw.response_to("CONNECT").await;
    (response, raw)
}

/// The inside of a tunnel that must open.
async fn tunnel(app: &App, authority: &str) -> TcpStream {
    let (response, raw) = connect(app, authority).await;
    assert_eq!(response.status, 200, "{}", response.text());
    raw.into_inner()
}

/// A GET in absolute form, with the `Host` that goes with it.
async fn get(app: &App, url: &str) -> RawResponse {
    let authority = url.split('/').nth(2).expect("an authority");
    app.raw(&format!("GET {url} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await
}

fn slug(response: &RawResponse) -> String {
    let body = response.json();
    let kind = body["type"].as_str().expect("a problem");
    kind.strip_prefix("urn:maskinporten-proxy:").expect("one of the proxy's own").to_owned()
}
