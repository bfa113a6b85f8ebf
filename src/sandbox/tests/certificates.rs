use std::time::{Duration, SystemTime};

use rcgen::KeyUsagePurpose;
use serde_json::{Value, json};

use super::support::*;
use crate::clock::Clock;
use crate::sandbox::credentials::ClientKey;
use crate::sandbox::{CertificateSpec, ClientSpec, ORGANISATION, Sandbox, SandboxOptions, TestCa};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn spec() -> CertificateSpec {
    CertificateSpec::new(ORGANISATION, SystemTime::now())
}

/// The standard encoding of each certificate, as `x5c` has it.
fn x5c(chain: &[Vec<u8>]) -> Value {
    use base64::Engine;
    chain.iter().map(|der| base64::engine::general_purpose::STANDARD.encode(der)).collect()
}

fn chain(ca: &TestCa, spec: &CertificateSpec) -> Vec<Vec<u8>> {
    ca.issue(spec, &ClientKey::read(&key()).unwrap().spki).unwrap()
}

async fn code(sandbox: &Sandbox, x5c: Value) -> String {
    let answer = Maker::with_certificate(sandbox, "demo:api").header("x5c", x5c).post(sandbox).await;
    if answer.status == 200 { "accepted".to_owned() } else { answer.code() }
}

#[tokio::test]
async fn a_business_certificate_signs_in() {
    let sandbox = start().await;
    let token = Maker::with_certificate(&sandbox, "demo:api").token(&sandbox).await;
    let claims = claims_of(&token);
    assert_eq!(claims["client_amr"], "virksomhetssertifikat");
    assert_eq!(claims["client_id"], sandbox.credentials().certificate_client_id);
}

#[tokio::test]
async fn the_chain_may_leave_out_the_root_alone() {
    let sandbox = start().await;
    let full = chain(sandbox.ca(), &spec());
    assert_eq!(code(&sandbox, x5c(&full)).await, "accepted");
    assert_eq!(code(&sandbox, x5c(&full[..2])).await, "accepted");
    assert_eq!(code(&sandbox, x5c(&full[..1])).await, "MP-120");
    // With the issuing authority itself trusted, the leaf is enough.
    sandbox.control().trust_ca(full[1].clone());
    assert_eq!(code(&sandbox, x5c(&full[..1])).await, "accepted");
}

#[tokio::test]
async fn a_chain_that_is_not_one_is_refused() {
    let sandbox = start().await;
    let full = chain(sandbox.ca(), &spec());
    let foreign_ca = TestCa::new("Sandkassen", SystemTime::now()).unwrap();
    let foreign = chain(&foreign_ca, &spec());
    let cases = [
        ("root first", vec![full[2].clone(), full[1].clone(), full[0].clone()]),
        ("a gap", vec![full[0].clone(), full[2].clone()]),
        ("another authority of the same name", foreign.clone()),
        ("a leaf of another authority", vec![foreign[0].clone(), full[1].clone(), full[2].clone()]),
        ("an authority's own certificate", vec![full[1].clone(), full[2].clone()]),
    ];
    for (name, chain) in cases {
        assert_eq!(code(&sandbox, x5c(&chain)).await, "MP-120", "{name}");
    }
    sandbox.control().trust_ca(foreign_ca.root());
    assert_eq!(code(&sandbox, x5c(&foreign)).await, "accepted");
}

#[tokio::test]
async fn an_authority_does_not_sign_in_whatever_its_key_is_for() {
    let sandbox = start().await;
    let key = rcgen::KeyPair::from_pem(key().expose()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&key).unwrap().der().to_vec();
    sandbox.control().trust_ca(authority.clone());
    let answer = Maker::with_certificate(&sandbox, "demo:api").header("x5c", x5c(&[authority]));
    let description = answer.post(&sandbox).await.json()["error_description"].to_string();
    assert!(description.contains("certificate authority's"), "{description}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_good_where_it_is_trusted_itself() {
    let sandbox = start().await;
    let key = rcgen::KeyPair::from_pem(key().expose()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]), ORGANISATION);
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    assert_eq!(code(&sandbox, x5c(std::slice::from_ref(&certificate))).await, "MP-120");
    sandbox.control().trust_ca(certificate.clone());
    assert_eq!(code(&sandbox, x5c(&[certificate])).await, "accepted");
}

#[tokio::test]
async fn a_certificate_beyond_its_dates_is_refused() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = start_with(SandboxOptions { clock: clock.clone(), ..Default::default() }).await;
    let good = || Maker::with_certificate(&sandbox, "demo:api");
    assert_eq!(good().post(&sandbox).await.status, 200);
    clock.advance(731 * DAY);
    assert_eq!(good().post(&sandbox).await.code(), "MP-120");
    clock.set_wall(SystemTime::now() - 2 * DAY);
    assert_eq!(good().post(&sandbox).await.code(), "MP-120");
}

#[tokio::test]
async fn a_certificate_for_something_else_is_refused() {
    let sandbox = start().await;
    let encryption = CertificateSpec { key_usages: vec![KeyUsagePurpose::KeyEncipherment], ..spec() };
    let repudiation = CertificateSpec { key_usages: vec![KeyUsagePurpose::ContentCommitment], ..spec() };
    let nobody = CertificateSpec { organisation: "person".to_owned(), ..spec() };
    for (name, spec) in [("encryption", encryption), ("non-repudiation", repudiation), ("no number", nobody)]
    {
        assert_eq!(code(&sandbox, x5c(&chain(sandbox.ca(), &spec))).await, "MP-120", "{name}");
    }
}

#[tokio::test]
async fn the_organisation_must_be_the_clients() {
    let sandbox = start().await;
    let older = CertificateSpec { seid2: false, ..spec() };
    assert_eq!(code(&sandbox, x5c(&chain(sandbox.ca(), &older))).await, "accepted");
    for seid2 in [true, false] {
        let other = CertificateSpec { organisation: "889640782".to_owned(), seid2, ..spec() };
        assert_eq!(code(&sandbox, x5c(&chain(sandbox.ca(), &other))).await, "MP-122", "{seid2}");
    }
}

#[tokio::test]
async fn x5c_is_an_array_of_standard_base64() {
    use base64::Engine;
    let sandbox = start().await;
    let full = chain(sandbox.ca(), &spec());
    let encoded = x5c(&full);
    let url_safe: Value =
        full.iter().map(|der| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(der)).collect();
    let pem = sandbox.credentials().cert_chain_pem.clone();
    let cases = [
        ("a text", encoded[0].clone()),
        ("empty", json!([])),
        ("base64url", url_safe),
        ("PEM", json!([pem])),
        ("a number in it", json!([encoded[0], 1])),
        ("no certificate", json!(["MAA="])),
        (
            "escaped padding",
            json!([format!("{}\\u003d", encoded[0].as_str().unwrap().trim_end_matches('='))]),
        ),
        ("null", Value::Null),
        ("too many", Value::Array(vec![encoded[0].clone(); 6])),
    ];
    for (name, value) in cases {
        assert_eq!(code(&sandbox, value).await, "MP-123", "{name}");
    }
}

#[tokio::test]
async fn the_key_must_be_the_certificates() {
    let sandbox = start().await;
    let maker = Maker::with_certificate(&sandbox, "demo:api").signed_by(other_key());
    assert_eq!(maker.post(&sandbox).await.code(), "MP-124");
}

#[tokio::test]
async fn a_client_with_a_registered_key_must_use_it() {
    let sandbox = start().await;
    let client_id = &sandbox.credentials().client_id;
    let maker = || Maker::with_certificate(&sandbox, "demo:api").claim("iss", client_id.as_str());
    let answer = maker().post(&sandbox).await;
    assert_eq!(answer.code(), "MP-100");
    let description = answer.json()["error_description"].as_str().unwrap().to_owned();
    assert!(description.contains("no key identifier (kid) provided"), "{description}");
    sandbox.control().set_keys(client_id, Vec::new()).unwrap();
    assert_eq!(maker().post(&sandbox).await.status, 200);
}

#[tokio::test]
async fn neither_kid_nor_x5c_says_so_where_no_key_is_registered() {
    let sandbox = start().await;
    sandbox.control().register_client(ClientSpec::new("bare", ORGANISATION).scope("demo:api"));
    let maker = Maker::new(&sandbox, "demo:api").claim("iss", "bare");
    let code = maker.clone().without_header("kid").post(&sandbox).await.code();
    assert!(code.ends_with("Neither kid nor x5c provided."), "{code}");
    assert_eq!(maker.post(&sandbox).await.code(), "MP-100");
}
