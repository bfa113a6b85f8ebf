//! Keys that are replaced while the proxy runs, and certificates near their end.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maskinporten_proxy::keys::{KeyBits, generate};
use maskinporten_proxy::sandbox::{CertificateSpec, RegisteredKey, Sandbox};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use crate::support::{App, private, sandbox, until};
use crate::tokens::{echo, token_of};

/// A new key: as a file, and as the sandbox registers it in place of the old one.
struct NewKey {
    pem: String,
    registered: RegisteredKey,
}

impl NewKey {
    fn make(kid: &str) -> Self {
        let made = generate(KeyBits::B2048, Some(kid)).expect("a key");
        let registered = RegisteredKey::from_jwk(&made.public_jwks["keys"][0]).expect("a public key");
        Self { pem: made.pem.expose().to_owned(), registered }
    }

    /// From now on the sandbox takes this key alone.
    fn register(&self, sandbox: &Sandbox) {
        let keys = vec![self.registered.clone()];
        sandbox.control().set_keys(&sandbox.credentials().client_id, keys).expect("the client");
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a written key");
    private(path);
}

/// The old token serves until the new key has obtained its own; and that the new key did so is
/// certain, since the sandbox takes no other.
async fn takes_over(app: &App, sandbox: &Sandbox) {
    let issued = sandbox.control().counts().tokens_issued;
    until("the new key obtained a token", || async {
        assert_eq!(app.get("/echo").await.status, 200);
        sandbox.control().counts().tokens_issued > issued
    })
    .await;
    until("the token is live", || async { app.token("echo").await["error"].is_null() }).await;
    assert_eq!(app.status().await["config"]["error"], serde_json::Value::Null);
    assert_eq!(app.refresh("echo").await.status, 200);
    token_of(app).await;
    assert_eq!(sandbox.control().counts().dead_tokens, 0);
}

#[tokio::test]
async fn a_key_that_is_renamed_into_place_signs_the_next_grant() {
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    let new = NewKey::make(&sandbox.credentials().kid);
    new.register(&sandbox);
    let next = app.dir.path().join("next.pem");
    write(&next, &new.pem);
    std::fs::rename(next, app.dir.path().join("key.pem")).expect("a new key in place");
    takes_over(&app, &sandbox).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_is_mounted_by_symlinks_is_seen_to_be_swapped() {
    use std::os::unix::fs::symlink;
    let sandbox = sandbox().await;
    let setup = echo(&sandbox);
    // As Kubernetes mounts a secret: key.pem -> ..data/key.pem, ..data -> a folder for each version.
    let dir = setup.dir().to_owned();
    let at = |name: &str| dir.join(name);
    std::fs::create_dir(at("..version-1")).expect("a folder");
    std::fs::rename(at("key.pem"), at("..version-1/key.pem")).expect("a key");
    symlink("..version-1", at("..data")).expect("a link");
    symlink("..data/key.pem", at("key.pem")).expect("a link");
    let app = setup.start().await;

    let new = NewKey::make(&sandbox.credentials().kid);
    new.register(&sandbox);
    std::fs::create_dir(at("..version-2")).expect("a folder");
    write(&at("..version-2/key.pem"), &new.pem);
    symlink("..version-2", at("..data_tmp")).expect("a link");
    std::fs::rename(at("..data_tmp"), at("..data")).expect("a swap");
    std::fs::remove_dir_all(at("..version-1")).expect("the old version is removed");
    takes_over(&app, &sandbox).await;
}

#[tokio::test]
async fn a_half_written_key_is_reported_and_the_old_one_stays_until_it_is_whole() {
    const FAILED: &str = "config_reloads_total{outcome=\"failed\"}";
    let sandbox = sandbox().await;
    let app = echo(&sandbox).start().await;
    let new = NewKey::make(&sandbox.credentials().kid);
    let key = app.dir.path().join("key.pem");
    write(&key, &new.pem[..new.pem.len() / 2]);
    until("the error is visible", || async { app.status().await["config"]["error"].is_string() }).await;
    let error = app.status().await["config"]["error"].as_str().expect("an error").to_owned();
    assert!(error.contains("the key of client `test`"), "{error}");
    assert!(app.metric(FAILED).await >= Some(1.0));
    assert!(app.admin_get("/").await.text().contains("the key of client `test`"));
    assert_eq!(app.refresh("echo").await.status, 200, "the old key signs on");
    token_of(&app).await;

    std::fs::remove_file(&key).expect("it was there");
    until("the missing file is told of", || async {
        app.status().await["config"]["error"].as_str() != Some(error.as_str())
    })
    .await;
    assert!(app.status().await["config"]["error"].is_string());
    token_of(&app).await;

    new.register(&sandbox);
    write(&key, &new.pem);
    takes_over(&app, &sandbox).await;
}

/// An app that signs with a business certificate of the sandbox's authority, good until `not_after`.
async fn certified(sandbox: &Sandbox, not_after: SystemTime) -> App {
    let credentials = sandbox.credentials();
    let pem = credentials.key_pem.expose();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    let key = aws_lc_rs::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
    let spec =
        CertificateSpec { not_after, ..CertificateSpec::new(&credentials.organisation, SystemTime::now()) };
    let chain = sandbox.ca().issue(&spec, spki.as_ref()).expect("a certificate");
    let setup = echo(sandbox)
        .replace(&format!(", kid = \"{}\"", credentials.kid), "")
        .replace(&credentials.client_id, &credentials.certificate_client_id);
    let mut file = pem.to_owned();
    for certificate in chain {
        file += &format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(certificate)
        );
    }
    write(&setup.dir().join("key.pem"), &file);
    setup.start().await
}

#[tokio::test]
async fn a_certificate_that_ends_within_thirty_days_is_warned_of() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let sandbox = sandbox().await;
    let soon = certified(&sandbox, SystemTime::now() + 10 * DAY).await;
    assert_eq!(token_of(&soon).await["client_amr"], "virksomhetssertifikat");
    let client = soon.status().await["clients"][0].clone();
    let warning = client["warning"].as_str().expect("a warning");
    assert!(warning.contains("ends on") && warning.contains("in 9 days"), "{warning}");
    assert!(soon.admin_get("/").await.text().contains("in 9 days"));
    let logged = soon.running.live.load_full().warnings.clone();
    assert!(
        logged.iter().any(|line| line.contains("client `test`") && line.contains("in 9 days")),
        "{logged:?}"
    );
    let left = soon.metric("certificate_expires_seconds{client=\"test\"}").await.expect("a series");
    assert!((9.9..=10.0).contains(&(left / DAY.as_secs_f64())), "{left}");

    let later = certified(&sandbox, SystemTime::now() + 40 * DAY).await;
    assert_eq!(later.status().await["clients"][0]["warning"], serde_json::Value::Null);
    assert!(later.running.live.load_full().warnings.is_empty());
}
