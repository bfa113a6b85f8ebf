use std::collections::BTreeSet;

use jsonwebtoken::{Validation, decode};
use serde_json::{Value, json};

use super::*;
use crate::oauth::identity::Profile;
use crate::oauth::testing::{Bench, TestSigner, config, decoding_key};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn profile(bench: &Bench, resource: &[&str]) -> Arc<Profile> {
    let client = bench.sources.client(&config(None), Arc::new(TestSigner::with_kid()));
    let resource = resource.iter().map(|resource| (*resource).to_owned()).collect();
    Profile::new(client, vec!["a:b".into(), "c:d".into()], resource, None)
}

fn parts(assertion: &Assertion) -> (Value, Value) {
    let decode =
        |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    let mut parts = assertion.expose().split('.');
    (decode(parts.next().expect("a header")), decode(parts.next().expect("claims")))
}

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_least_grant_has_exactly_the_required_claims() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[]));
    let assertion = Assertion::sign(&identity, &TestSigner::with_kid(), now()).expect("it signs");

    let (header, claims) = parts(&assertion);
    assert_eq!(header, json!({"alg": "RS256", "kid": "nokkel-1"}));
    assert_eq!(names(&claims), BTreeSet::from(["aud", "iss", "scope", "iat", "exp", "jti"]));
    assert_eq!(claims["aud"], "https://test.maskinporten.no/");
    assert_eq!(claims["iss"], "238259d7-f0ab-4bd5-b253-0f0159375096");
    assert_eq!(claims["scope"], "a:b c:d");
    assert_eq!(claims["iat"], 1_800_000_000 - 5, "set back for a server that is behind");
    assert_eq!(claims["exp"], 1_800_000_000 - 5 + 120);
}

#[tokio::test]
async fn what_is_configured_is_claimed() {
    let bench = Bench::new();
    let details = json!([{"type": "urn:altinn:systemuser", "systemuser_org": {"ID": "0192:910753614"}}]);
    let identity = Identity::new(profile(&bench, &["https://api.example.no"]))
        .with_consumer_org("910753614")
        .with_pid(Secret::from("17018900123"))
        .with_authorization_details(details.clone());
    let (_, claims) = parts(&Assertion::sign(&identity, &TestSigner::with_kid(), now()).expect("it signs"));
    assert_eq!(claims["resource"], json!(["https://api.example.no"]), "an array, though it holds one");
    assert_eq!(claims["consumer_org"], "910753614");
    assert_eq!(claims["pid"], "17018900123");
    assert_eq!(claims["authorization_details"], details);
    assert_eq!(names(&claims).len(), 10);
}

#[tokio::test]
async fn the_signature_verifies_under_each_algorithm() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[]));
    for (algorithm, expected) in [
        (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        (Algorithm::Rs384, jsonwebtoken::Algorithm::RS384),
        (Algorithm::Rs512, jsonwebtoken::Algorithm::RS512),
    ] {
        let signer = TestSigner { algorithm, ..TestSigner::with_kid() };
        let assertion = Assertion::sign(&identity, &signer, SystemTime::now()).expect("it signs");
        let mut validation = Validation::new(expected);
        validation.set_audience(&["https://test.maskinporten.no/"]);
        decode::<Value>(assertion.expose(), &decoding_key(), &validation).expect("the signature is valid");
        let other = Validation::new(jsonwebtoken::Algorithm::RS256);
        if expected != jsonwebtoken::Algorithm::RS256 {
            assert!(decode::<Value>(assertion.expose(), &decoding_key(), &other).is_err());
        }
    }
}

#[tokio::test]
async fn a_certificate_chain_goes_out_whole_where_there_is_no_kid() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[]));
    let chain = vec!["bGVhZg==".to_owned(), "Y2E=".to_owned()];
    let signer = TestSigner { x5c: Some(chain.clone()), ..TestSigner::default() };
    let (header, _) = parts(&Assertion::sign(&identity, &signer, now()).expect("it signs"));
    assert_eq!(header, json!({"alg": "RS256", "x5c": chain}));

    let both = TestSigner { x5c: Some(chain), ..TestSigner::with_kid() };
    let (header, _) = parts(&Assertion::sign(&identity, &both, now()).expect("it signs"));
    assert_eq!(names(&header), BTreeSet::from(["alg", "kid"]), "a registered key must be used by its kid");
}

#[tokio::test]
async fn a_key_without_a_name_is_refused() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[]));
    for signer in [TestSigner::default(), TestSigner { x5c: Some(Vec::new()), ..TestSigner::default() }] {
        assert_eq!(Assertion::sign(&identity, &signer, now()).expect_err("nameless"), SignError::Anonymous);
    }
}

#[tokio::test]
async fn every_grant_has_its_own_jti() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[]));
    let jti = || {
        let (_, claims) =
            parts(&Assertion::sign(&identity, &TestSigner::with_kid(), now()).expect("it signs"));
        claims["jti"].as_str().expect("a string").to_owned()
    };
    let seen: BTreeSet<_> = (0..20).map(|_| jti()).collect();
    assert_eq!(seen.len(), 20);
}

#[tokio::test]
async fn debug_shows_no_grant() {
    let bench = Bench::new();
    let identity = Identity::new(profile(&bench, &[])).with_pid(Secret::from("17018900123"));
    let assertion = Assertion::sign(&identity, &TestSigner::with_kid(), now()).expect("it signs");
    assert!(!format!("{assertion:?}").contains("eyJ"));
    assert!(!format!("{identity:?}").contains("17018900123"));
}
