//! A small HTTP client and a maker of grants, good ones and bad ones.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{self, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::sandbox::credentials::ClientKey;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::secret::Secret;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Long enough for a slow machine; reached only where something hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// One key for all tests, since making one is what costs.
pub(super) fn key() -> Secret<String> {
    static KEY: OnceLock<Secret<String>> = OnceLock::new();
    KEY.get_or_init(|| ClientKey::generate().unwrap().pem).clone()
}

/// Another key, that nobody has registered.
pub(super) fn other_key() -> Secret<String> {
    static KEY: OnceLock<Secret<String>> = OnceLock::new();
    KEY.get_or_init(|| ClientKey::generate().unwrap().pem).clone()
}

pub(super) async fn start() -> Sandbox {
    start_with(SandboxOptions::default()).await
}

pub(super) async fn start_with(options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { key: Some(key()), ..options }).await.unwrap()
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The `MP-…` code, or the whole description where there is none.
    pub(super) fn code(&self) -> String {
        let body = self.json();
        assert!(body["error"].is_string(), "no OAuth error: {body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.contains("(trace_id: "), "{description}");
        match body["error_uri"].as_str() {
            Some(uri) => uri.rsplit_once('/').unwrap().1.to_owned(),
            None => description.split(" (trace_id").next().unwrap().to_owned(),
        }
    }
}

/// One request on a connection of its own; the error is that of the connection.
pub(super) async fn send(
    sandbox: &Sandbox,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(sandbox.addr()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(target).header("host", sandbox.addr().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let exchange = async {
        let response = sender.send_request(request.body(Full::new(body.into())).unwrap()).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("the sandbox answers in time");
    driver.abort();
    answer
}

/// A call to an API with a token.
pub(super) async fn call(sandbox: &Sandbox, method: &str, target: &str, token: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send(sandbox, method, target, &headers, body).await.unwrap()
}

pub(super) async fn get(sandbox: &Sandbox, target: &str, token: &str) -> Answer {
    call(sandbox, "GET", target, token, Value::Null).await
}

/// A grant in the making, good until it is spoilt.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) header: Value,
    pub(super) claims: Value,
    key: Secret<String>,
    hash: &'static str,
}

impl Maker {
    /// By the client with a registered key.
    pub(super) fn new(sandbox: &Sandbox, scope: &str) -> Self {
        let credentials = sandbox.credentials();
        let now = seconds(sandbox.control().now());
        Self {
            header: json!({ "alg": "RS256", "kid": credentials.kid }),
            claims: json!({
                "aud": sandbox.issuer(),
                "iss": credentials.client_id,
                "scope": scope,
                "iat": now,
                "exp": now + 120,
                "jti": uuid::Uuid::new_v4().to_string(),
            }),
            key: credentials.key_pem.clone(),
            hash: "RS256",
        }
    }

    /// By the client with a business certificate.
    pub(super) fn with_certificate(sandbox: &Sandbox, scope: &str) -> Self {
        let credentials = sandbox.credentials();
        let chain: Vec<String> = CertificateDer::pem_slice_iter(credentials.cert_chain_pem.as_bytes())
            .map(|certificate| STANDARD.encode(certificate.unwrap()))
            .collect();
        assert_eq!(chain.len(), 3, "leaf, issuing authority, root");
        let mut maker = Self::new(sandbox, scope).claim("iss", credentials.certificate_client_id.as_str());
        maker.header = json!({ "alg": "RS256", "x5c": chain });
        maker
    }

    pub(super) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub(super) fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub(super) fn signed_by(mut self, key: Secret<String>) -> Self {
        self.key = key;
        self
    }

    /// Another algorithm, in the header and in truth.
    pub(super) fn algorithm(mut self, name: &'static str) -> Self {
        self.hash = name;
        self.header("alg", name)
    }

    /// `iat` and `exp` moved by so many seconds.
    pub(super) fn shifted(self, by: i64) -> Self {
        let moved = |name: &str| self.claims[name].as_i64().unwrap() + by;
        let (iat, exp) = (moved("iat"), moved("exp"));
        self.claim("iat", iat).claim("exp", exp)
    }

    pub(super) fn sign(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let padding: &'static dyn RsaEncoding = match self.hash {
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            _ => &signature::RSA_PKCS1_SHA256,
        };
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(self.key.expose().as_bytes()).unwrap();
        let pair = KeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) async fn post(&self, sandbox: &Sandbox) -> Answer {
        post(sandbox, &self.sign()).await
    }

    /// Posts it and takes the token out of the answer.
    pub(super) async fn token(&self, sandbox: &Sandbox) -> String {
        let answer = self.post(sandbox).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }
}

pub(super) fn form(assertion: &str) -> String {
    format!("grant_type={}&assertion={assertion}", JWT_BEARER.replace(':', "%3A"))
}

pub(super) async fn post(sandbox: &Sandbox, assertion: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    send(sandbox, "POST", "/token", &headers, form(assertion)).await.unwrap()
}

pub(super) async fn token(sandbox: &Sandbox, scope: &str) -> String {
    Maker::new(sandbox, scope).token(sandbox).await
}

pub(super) fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
