//! The main job with keys as users have them: every form of keystore against the sandbox, and the
//! properties file of jwt-grant-generator as it stands.

use std::path::{Path, PathBuf};

use maskinporten_proxy::sandbox::{ClientSpec, RegisteredKey, Sandbox};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::support::program::{self, Program};
use crate::support::{Answer, Raw, Setup, Upstream, sandbox};

/// Who the fixtures' certificates are issued to.
const ORGANISATION: &str = "991825827";

/// Files with a chain of their own, and what it takes to open them.
const WITH_CHAIN: &[(&str, &str)] = &[
    ("aes.p12", "password = \"changeit\""),
    ("legacy.p12", "password = \"changeit\""),
    ("keytool.p12", "password = \"changeit\""),
    ("bouncycastle.p12", "password = \"changeit\""),
    ("pkcs12-named.jks", "password = \"changeit\""),
    ("odd-order.p12", "password = \"changeit\""),
    ("norwegian-alias.p12", "password = \"changeit\", alias = \"nøkkel på ærøy\""),
    ("norwegian-password.p12", "password = \"blåbær€\""),
    ("empty-password.p12", "password = \"\""),
    ("unprotected.p12", ""),
    ("several.p12", "password = \"changeit\""),
    ("one.jks", "password = \"changeit\""),
    ("jks-named.p12", "password = \"changeit\""),
    ("norwegian-alias.jks", "password = \"changeit\", alias = \"NØKKEL PÅ ærøy\""),
    ("several.jks", "password = \"changeit\", alias = \"SIGN\""),
    ("chain-in-pieces.jks", "password = \"changeit\""),
    ("key-password.jks", "password = \"changeit\", key_password = \"keypass\""),
    ("pkcs8.pem", ""),
    ("pkcs1.pem", ""),
    ("reversed.pem", ""),
    ("encrypted.pem", "password = \"changeit\""),
    ("openssl-pkcs12-output.pem", "password = \"changeit\""),
    ("key-only.pem", "certificate = \"@chain.pem\""),
    ("pkcs8.der", "certificate = \"@chain.pem\""),
    ("pkcs1.der", "certificate = \"@chain.pem\""),
    ("encrypted.der", "certificate = \"@chain.pem\", password = \"changeit\""),
    ("encrypted-des3.pem", "certificate = \"@chain.pem\", password = \"changeit\""),
    ("encrypted-scrypt.pem", "certificate = \"@chain.pem\", password = \"changeit\""),
    ("encrypted-sha1-3des.pem", "certificate = \"@chain.pem\", password = \"changeit\""),
    ("bare.jwk", "certificate = \"@chain.pem\""),
    ("x5c.jwk", ""),
];

fn keystores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores")
}

/// Lets the sandbox know the fixtures' organisation: for each form one client for its certificate
/// and one with the key registered, since equal identities share a token.
fn introduce(sandbox: &Sandbox) {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(keystores().join("chain.pem"))
        .expect("a chain")
        .collect::<Result<_, _>>()
        .expect("certificates");
    let [leaf, _, root] = &chain[..] else { panic!("leaf, intermediate and root") };
    let control = sandbox.control();
    control.trust_ca(root.to_vec());
    for number in 0..WITH_CHAIN.len() {
        let client = |way: &str| ClientSpec::new(format!("{way}-{number}"), ORGANISATION).scope("demo:api");
        let key = RegisteredKey::from_certificate("my-kid", leaf).expect("an RSA key");
        control.register_client(client("by-certificate"));
        control.register_client(client("by-kid").key(key));
    }
}

#[tokio::test]
async fn every_form_of_key_is_accepted_by_certificate_and_by_kid() {
    let sandbox = sandbox().await;
    introduce(&sandbox);
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let mut setup = Setup::new(&sandbox).route("own", "/own", &upstream.url());
    let folder = keystores().display().to_string();
    for (number, (file, opening)) in WITH_CHAIN.iter().enumerate() {
        let opening = opening.replace('@', &format!("{folder}/"));
        for (client, kid) in [("by-certificate", ""), ("by-kid", "kid = \"my-kid\"")] {
            let members: Vec<String> =
                [format!("file = \"{folder}/{file}\""), opening.clone(), kid.to_owned()]
                    .into_iter()
                    .filter(|member| !member.is_empty())
                    .collect();
            let name = format!("{client}-{number}");
            setup = setup
                .with(&format!(
                    "\n[clients.{name}]\nissuer = \"{}\"\ntoken_endpoint = \"{}\"\nclient_id = \"{name}\"\nkey = {{ {} }}\n",
                    sandbox.issuer(),
                    sandbox.token_endpoint(),
                    members.join(", "),
                ))
                .route_with(&name, &format!("/{name}"), &upstream.url(), &format!("client = \"{name}\""));
        }
    }
    let setup = setup.replace("name = \"own\"\n", "name = \"own\"\nclient = \"test\"\n");
    // Waits for every token, and fails with the first refusal.
    let app = setup.start().await;
    assert_eq!(app.running.live.load_full().fixed_sources().len(), 2 * WITH_CHAIN.len() + 1);

    let requests = sandbox.control().token_requests();
    let sent = |member: &str| requests.iter().filter(|request| request.header.get(member).is_some()).count();
    assert_eq!((sent("x5c"), sent("kid")), (WITH_CHAIN.len(), WITH_CHAIN.len() + 1));
    for client in ["by-certificate", "by-kid"] {
        let response = app.get(&format!("/{client}-0/x")).await;
        assert_eq!((response.status, response.text().as_str()), (200, "hei"));
    }
}

/// A properties file as users of jwt-grant-generator have it, beside a JKS that keytool made.
fn properties(sandbox: &Sandbox, dir: &Path) {
    std::fs::copy(keystores().join("one.jks"), dir.join("virksomhet.jks")).expect("a copy");
    let text = format!(
        "# jwt-grant-generator\nissuer = by-certificate-0\naudience={}\ntoken.endpoint: {}\nscope=demo:\\\n    api\n\
         keystore.type=JKS\nkeystore.file=virksomhet.jks\nkeystore.password=changeit\n\
         keystore.alias=virksomhet\nkeystore.alias.password=changeit\n",
        sandbox.issuer(),
        sandbox.token_endpoint(),
    );
    std::fs::write(dir.join("my.properties"), text).expect("a written file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_properties_file_and_its_jks_serve_as_they_stand() {
    let sandbox = sandbox().await;
    introduce(&sandbox);
    let dir = tempfile::tempdir().expect("a folder");
    properties(&sandbox, dir.path());

    let token = program::run(dir.path(), &[], &["token", "--config", "my.properties"]);
    assert_eq!(token.code, Some(0), "{}", token.stderr);
    let [line] = &token.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("not one line: {}", token.stdout)
    };
    assert_eq!(line.split('.').count(), 3, "{line}");

    let json = program::run(dir.path(), &[], &["token", "--json", "--config", "my.properties"]);
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let printed: serde_json::Value = serde_json::from_str(json.stdout.trim_end()).expect("one line of JSON");
    assert_eq!(printed["token"]["token_type"], "Bearer");
    assert_eq!(printed["token"]["scope"], "demo:api");
    assert_eq!(printed["grant"].as_str().expect("a grant").split('.').count(), 3);

    let asked = sandbox.control().counts().token_requests;
    let grant = program::run(dir.path(), &[], &["token", "--grant", "--config", "my.properties"]);
    assert_eq!(grant.stdout.trim_end().split('.').count(), 3, "{}", grant.stderr);
    assert_eq!(sandbox.control().counts().token_requests, asked, "--grant asks for nothing");

    let upstream = Upstream::always(Answer::ok("hei")).await;
    let args = [
        "--config",
        "my.properties",
        "--upstream",
        &upstream.url(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let program = Program::serve(dir.path(), &[], &args).await;
    let address = program.proxy_address();
    let response = Raw::connect(address)
        .await
        .exchange(format!("GET /clients HTTP/1.1\r\nHost: {address}\r\n\r\n"))
        .await;
    assert_eq!((response.status, response.text().as_str()), (200, "hei"));
    let seen = upstream.seen();
    assert_eq!(seen[0].line(), "GET /clients HTTP/1.1");
    assert!(seen[0].header("authorization").expect("one").starts_with("Bearer ey"));
    assert_eq!(program.stop().await.code, Some(0));
}
