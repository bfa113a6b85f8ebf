//! A Maskinporten, an Altinn and APIs that know the secrets, and say them wherever they can.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Answer, Seen, Upstream};

/// Not a JWT, so that nothing can know it by its look.
pub(super) const OPAQUE: &str = "kanari.opakt~Zk3v9QpXw7Lr2TbN8sYd4HcJ6mFgA1uE5iRoW0tVyUxKzSqPnBjMlDhC";
/// The signature of Altinn's, whose claims are shown.
pub(super) const ALTINN: &str = "kanariAltinnPq8Wm3Xv6Zr1Ty4Lk9Jh2Gf5Ds7Aa0Nb3Vc6Cx8Zm1Qw4Er7Ty0Ui";

/// What was seen of grants.
pub(super) type Grants = Arc<Mutex<Vec<String>>>;

/// The claims of a grant.
fn claims(grant: &str) -> serde_json::Value {
    let payload = grant.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("claims")
}

fn json(status: &str, body: &str) -> Answer {
    Answer::raw(&format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A token endpoint that answers by the scope. A refusal repeats all that it was sent.
pub(super) async fn maskinporten(grants: Grants) -> Upstream {
    Upstream::start(move |_, seen| {
        if seen.line().starts_with("GET /authentication/") {
            return altinn(seen);
        }
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        let Some((_, grant)) = body.split_once("assertion=") else {
            return json("404 Not Found", "{}");
        };
        grants.lock().expect("not poisoned").push(grant.to_owned());
        let claims = claims(grant);
        let pid = claims["pid"].as_str().unwrap_or_default();
        match claims["scope"].as_str().expect("a scope") {
            "kanari:refused" => json(
                "400 Bad Request",
                &format!(
                    "{{\"error\":\"invalid_grant\",\"error_description\":\"Invalid assertion {grant} for {pid} (MP-100)\",\
                     \"error_uri\":\"https://docs.example/{grant}\"}}"
                ),
            ),
            "kanari:html" => {
                json("200 OK", &format!("<p>{grant} {pid} {OPAQUE}</p>"))
            }
            "kanari:other-member" => {
                json("200 OK", &format!("{{\"acess_token\":\"{OPAQUE}\",\"expires_in\":119}}"))
            }
            "kanari:bad-characters" => json(
                "200 OK",
                &format!("{{\"access_token\":\"{OPAQUE}\\u0001\",\"token_type\":\"Bearer\",\"expires_in\":119}}"),
            ),
            "kanari:odd-life" => json(
                "200 OK",
                &format!("{{\"access_token\":\"{OPAQUE}\",\"token_type\":\"Bearer\",\"expires_in\":\"{OPAQUE}\"}}"),
            ),
            "kanari:odd-type" => json(
                "200 OK",
                &format!("{{\"access_token\":\"{OPAQUE}\",\"token_type\":\"{OPAQUE}\",\"expires_in\":119}}"),
            ),
            "kanari:redirect" => Answer::raw(&format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/?assertion={grant}\r\nContent-Length: 0\r\n\r\n"
            )),
            "kanari:unavailable" => Answer::raw(&format!(
                "HTTP/1.1 503 {grant}\r\nRetry-After: {grant}\r\nContent-Length: 0\r\n\r\n"
            )),
            "kanari:garbage" => Answer::last(&format!("{grant}\r\n\r\n")),
            "kanari:drop" => Answer::last(""),
            _ => json(
                "200 OK",
                &format!("{{\"access_token\":\"{OPAQUE}\",\"token_type\":\"Bearer\",\"expires_in\":119}}"),
            ),
        }
    })
    .await
}

/// The exchange refuses every other request, with what it was sent.
fn altinn(seen: &Seen) -> Answer {
    let bearer = seen.header("authorization").unwrap_or_default();
    if seen.line().contains("test=true") {
        return json("403 Forbidden", &format!("{{\"error\":\"{bearer}\"}}"));
    }
    // Its end stands in the token itself, in the year 2100.
    let payload = BASE64_URL_SAFE_NO_PAD.encode("{\"exp\":4102444800}");
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{payload}.{ALTINN}");
    json("200 OK", &format!("\"{token}\""))
}

/// An API that repeats the credentials it was given, in places where a proxy might log them.
pub(super) async fn api() -> Upstream {
    Upstream::start(|_, seen| {
        let bearer = seen.header("authorization").unwrap_or_default().to_owned();
        let path = seen.line().split(' ').nth(1).expect("a path");
        match path.rsplit('/').next().expect("a segment").split('?').next().expect("a word") {
            "garbage" => Answer::last(&format!("HTTP/1.1 {bearer}\r\n\r\n")),
            "line" => Answer::last(&format!("{bearer}\r\n\r\n")),
            "length" => Answer::last(&format!("HTTP/1.1 200 OK\r\nContent-Length: {bearer}\r\n\r\n")),
            "chunk" => Answer::last(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{bearer}\r\nx\r\n"
            )),
            "broken" => Answer::last(&format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{bearer}")),
            "switch" => Answer::last(&format!(
                "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: {}\r\n\r\n",
                bearer.replace("Bearer ", "")
            )),
            "location" => Answer::raw(&format!(
                "HTTP/1.1 302 Found\r\nLocation: /x?t={}\r\nContent-Length: 0\r\n\r\n",
                bearer.replace("Bearer ", "")
            )),
            "unauthorized" => Answer::raw(&format!(
                "HTTP/1.1 401 {bearer}\r\nWWW-Authenticate: Bearer error=\"{}\"\r\nContent-Length: 0\r\n\r\n",
                bearer.replace("Bearer ", "")
            )),
            "error" => Answer::raw(&format!(
                "HTTP/1.1 500 {bearer}\r\nContent-Length: {}\r\n\r\n{bearer}",
                bearer.len()
            )),
            "closes" => Answer::last(""),
            _ => Answer::ok(&bearer),
        }
    })
    .await
}

/// An API over TLS and HTTP/2 that repeats the credentials. Its address, and the authority that
/// vouches for it, PEM.
pub(super) async fn secure_api() -> (std::net::SocketAddr, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate").der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = |request: Request<Incoming>| async move {
        let bearer = request.headers().get("authorization").cloned();
        let whole = request.into_body().collect().await?;
        let body = bearer.map(|value| Bytes::copy_from_slice(value.as_bytes())).unwrap_or(whole.to_bytes());
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(answer);
                // It ends when the proxy closes it.
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, authority)
}
