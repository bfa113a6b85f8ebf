//! Keys that are replaced while the program runs.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use maskinporten_proxy::sandbox::{Control, RegisteredKey, Sandbox};

use super::{mended, refused, replace};
use crate::support::{Setup, sandbox, until};

/// Another key, as PEM, and its public half.
fn another_key() -> (String, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = PublicKey::as_der(pair.public_key()).unwrap();
    (pem, public.as_ref().to_vec())
}

/// Registers the key in place of the first one, under the same `kid`.
fn register(sandbox: &Sandbox, control: &Control, public: &[u8]) {
    let credentials = sandbox.credentials();
    let key = RegisteredKey::from_public_key(&credentials.kid, public).unwrap();
    control.set_keys(&credentials.client_id, vec![key]).unwrap();
}

#[tokio::test]
async fn a_replaced_key_signs_the_next_grant_and_the_old_token_serves_until_then() {
    let sandbox = sandbox().await;
    let control = sandbox.control();
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let key = app.dir.path().join("key.pem");
    let (pem, public) = another_key();

    // Half of it is not used.
    std::fs::write(&key, &pem[..pem.len() / 2]).unwrap();
    let told = refused(&app).await;
    assert!(told.contains("client `test`"), "{told}");
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(control.counts().token_requests, 1);

    register(&sandbox, &control, &public);
    replace(&key, &pem);
    mended(&app).await;
    assert_eq!(app.get("/echo/x").await.status, 200, "with the old token or the new one");
    until("the new key has obtained a token", async || control.counts().tokens_issued == 2).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
    assert_eq!(control.counts().token_requests, 2, "the old key was not used again");
}

#[tokio::test]
async fn a_new_key_that_maskinporten_does_not_know_yet_costs_no_request() {
    let sandbox = sandbox().await;
    let control = sandbox.control();
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let (pem, public) = another_key();
    replace(&app.dir.path().join("key.pem"), &pem);
    until("the new key is tried", async || control.counts().token_requests == 2).await;
    assert_eq!(control.counts().tokens_issued, 1);
    assert_eq!(app.get("/echo/x").await.status, 200, "the old key's token lives");
    register(&sandbox, &control, &public);
    super::edit(&app, |text| format!("# the key is registered now\n{text}")).await;
    until("the new key has obtained a token", async || control.counts().tokens_issued == 2).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_secret_is_replaced_by_a_swap_of_symlinks() {
    use std::os::unix::fs::symlink;

    let sandbox = sandbox().await;
    let control = sandbox.control();
    let setup = Setup::new(&sandbox).replace("key.pem", "mounted/key.pem").route(
        "echo",
        "/echo",
        &sandbox.echo_url(),
    );
    // As the kubelet lays it out: the file is a link into ..data, which is a link to a folder.
    let mount = setup.dir().join("mounted");
    let version = |name: &str, pem: &str| {
        let folder = mount.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        replace(&folder.join("key.pem"), pem);
    };
    version("..v1", &std::fs::read_to_string(setup.dir().join("key.pem")).unwrap());
    symlink("..v1", mount.join("..data")).unwrap();
    symlink("..data/key.pem", mount.join("key.pem")).unwrap();
    let app = setup.start().await;

    let (pem, public) = another_key();
    register(&sandbox, &control, &public);
    version("..v2", &pem);
    symlink("..v2", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    std::fs::remove_dir_all(mount.join("..v1")).unwrap();
    until("the new key has obtained a token", async || control.counts().tokens_issued == 2).await;
    assert_eq!(app.get("/echo/x").await.status, 200);
}

#[tokio::test]
async fn another_certificate_of_the_listener_was_not_told_to_need_a_restart() {
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox)
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[inbound]\ntls = { cert = \"tls.pem\", key = \"tls-key.pem\" }\n");
    let (certificate, key) = (setup.dir().join("tls.pem"), setup.dir().join("tls-key.pem"));
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        replace(&key, &made.signing_key.serialize_pem());
        replace(&certificate, &made.cert.pem());
    };
    write();
    let app = setup.start().await;
    write();
    until("it is told", async || super::status(&app).await["needs_restart"] == true).await;
    assert_eq!(super::status(&app).await["restart_for"], serde_json::json!(["inbound.tls"]));
}
