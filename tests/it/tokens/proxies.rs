//! Outbound proxies that the environment names: the token endpoint, Altinn and upstreams go
//! through them, loopback and what `NO_PROXY` names do not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::program::Program;
use crate::support::{Authority, Raw, RawResponse, private, sandbox};
use crate::tokens::problem;

/// An HTTP proxy that knows no names: whatever it is asked to connect to is a TLS server before
/// `target`. It keeps what it was asked for.
struct Outbound {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Outbound {
    async fn start(tls: TlsAcceptor, target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let all = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (tls, all) = (tls.clone(), Arc::clone(&all));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let line = head.split("\r\n").next().unwrap_or_default();
                    all.lock().expect("not poisoned").insert(line.to_owned());
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                    let mut stream = tls.accept(stream).await?;
                    let mut onward = TcpStream::connect(target).await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut onward).await
                });
            }
        });
        Self { address, asked }
    }

    /// What it was asked for since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned")).into_iter().collect()
    }
}

async fn fetch(proxy: SocketAddr, path: &str) -> RawResponse {
    Raw::connect(proxy).await.exchange(format!("GET {path} HTTP/1.1\r\nHost: {proxy}\r\n\r\n")).await
}

#[tokio::test]
async fn the_environments_proxy_is_used_for_all_that_is_not_loopback_or_excepted() {
    let sandbox = sandbox().await;
    let names = ["maskinporten.example.test", "altinn.example.test", "api.example.test"];
    let authority = Authority::new();
    let outbound = Outbound::start(authority.acceptor("*.example.test", &[], |_| {}), sandbox.addr()).await;

    let dir = tempfile::tempdir().expect("a folder");
    let credentials = sandbox.credentials();
    authority.write(dir.path());
    let key = dir.path().join("key.pem");
    std::fs::write(&key, credentials.key_pem.expose()).expect("a file");
    private(&key);
    let client = |name: &str, endpoint: &str, altinn: &str| {
        format!(
            "[clients.{name}]\nissuer = \"{}\"\ntoken_endpoint = \"{endpoint}\"\naltinn = \"{altinn}\"\n\
             client_id = \"{}\"\nkey = {{ file = \"key.pem\", kid = \"{}\" }}\n",
            sandbox.issuer(),
            credentials.client_id,
            credentials.kid
        )
    };
    let route = |name: &str, upstream: &str, client: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{upstream}\"\nclient = \"{client}\"\n\
             scopes = [\"demo:api\"]\n{more}\n"
        )
    };
    let config = dir.path().join("proxy.toml");
    let text = [
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\n".to_owned(),
        "[upstream]\nca_file = \"ca.pem\"\nconnect_timeout = \"300ms\"\n".to_owned(),
        client("far", "https://maskinporten.example.test/token", "https://altinn.example.test"),
        client("near", &sandbox.token_endpoint(), &sandbox.altinn_url()),
        client("apart", "https://maskinporten.invalid/token", "https://altinn.invalid"),
        route("apart", &sandbox.echo_url(), "apart", ""),
        route("far", "https://api.example.test/echo", "far", "exchange = \"altinn\""),
        route("near", &sandbox.echo_url(), "near", "exchange = \"altinn\""),
        // Of the documentation's addresses (RFC 5737): nobody answers there.
        route("excepted", "https://192.0.2.1", "near", ""),
        route("named", "https://excepted.invalid", "near", ""),
    ]
    .concat();
    std::fs::write(&config, text).expect("a file");

    let url = format!("http://{}", outbound.address);
    let through = [
        ("HTTPS_PROXY", url.as_str()),
        ("HTTP_PROXY", &url),
        ("ALL_PROXY", &url),
        ("NO_PROXY", "192.0.2.0/24, .invalid"),
    ];
    let program = Program::serve(dir.path(), &through, &[]).await;
    let response = fetch(program.proxy_address(), "/far").await;
    assert_eq!(response.status, 200, "{}\n{:?}", response.text(), program.lines());
    assert_eq!(response.json()["authorization"]["issuer"], "altinn");
    let asked: Vec<String> = {
        let mut names = names;
        names.sort_unstable();
        names.iter().map(|name| format!("CONNECT {name}:443 HTTP/1.1")).collect()
    };
    assert_eq!(outbound.take(), asked);

    let response = fetch(program.proxy_address(), "/apart").await;
    problem(&response, 503, "token-unavailable");
    let response = fetch(program.proxy_address(), "/near").await;
    assert_eq!(response.status, 200, "{}", response.text());
    for path in ["/excepted", "/named"] {
        let status = fetch(program.proxy_address(), path).await.status;
        assert!(matches!(status, 502 | 504), "{path}: {status}");
    }
    assert_eq!(outbound.take(), Vec::<String>::new());
}
