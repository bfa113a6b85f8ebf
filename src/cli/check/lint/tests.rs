use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::json;

use super::*;

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"));

const NOW: u64 = 1_800_000_000;

fn good() -> (Value, Value) {
    let claims = json!({
        "aud": "https://test.maskinporten.no/", "iss": "client", "scope": "a:b c:d",
        "iat": NOW - 5, "exp": NOW + 115, "jti": "1",
    });
    (json!({ "alg": "RS256", "kid": "k" }), claims)
}

fn signed(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; KEY.public_modulus_len()];
    KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn judged(grant: &str) -> Vec<Flaw> {
    let scopes = ["a:b".to_owned(), "c:d".to_owned()];
    let expected = Expected {
        issuer: "https://test.maskinporten.no/",
        client_id: "client",
        scopes: &scopes,
        public_key: KEY.public_key().as_ref(),
        now: UNIX_EPOCH + Duration::from_secs(NOW),
    };
    lint(grant, &expected)
}

#[test]
fn a_grant_by_the_book_has_no_flaw() {
    let (header, claims) = good();
    assert_eq!(judged(&signed(&header, &claims)), []);
}

#[test]
fn each_departure_from_the_book_is_named() {
    let changes: &[(&str, Value, Flaw)] = &[
        ("aud", json!("https://test.maskinporten.no"), Flaw::Audience),
        ("aud", json!(["https://test.maskinporten.no/"]), Flaw::Audience),
        ("iss", json!("another"), Flaw::Issuer),
        ("scope", json!("a:b  c:d"), Flaw::Scope),
        ("iat", json!(NOW - 11), Flaw::IssuedAt),
        ("exp", json!(NOW + 116), Flaw::Life),
        ("exp", json!(NOW - 5), Flaw::Life),
        ("jti", json!(""), Flaw::JwtId),
        ("resource", json!("https://api.example.no"), Flaw::Resource),
        ("consumer_org", json!("0192:910753614"), Flaw::ConsumerOrg),
        ("consumer_org", json!(910_753_614), Flaw::ConsumerOrg),
        ("pid", json!("1701890012"), Flaw::Pid),
        ("nbf", json!(NOW), Flaw::UnknownClaim("nbf".to_owned())),
        ("iss_onbehalfof", json!("x"), Flaw::UnknownClaim("iss_onbehalfof".to_owned())),
    ];
    for (name, value, flaw) in changes {
        let (header, mut claims) = good();
        claims[*name] = value.clone();
        let flaws = judged(&signed(&header, &claims));
        assert!(flaws.contains(flaw), "{name} = {value}: {flaws:?}");
    }
}

#[test]
fn the_header_names_the_key_in_one_way() {
    let (_, claims) = good();
    for (header, flaw) in [
        (json!({ "alg": "RS256" }), Flaw::KeyName),
        (json!({ "alg": "RS256", "kid": "" }), Flaw::KeyName),
        (json!({ "alg": "RS256", "kid": "k", "x5c": [] }), Flaw::KeyName),
        (json!({ "alg": "RS256", "x5c": "MIIB" }), Flaw::Chain),
        (json!({ "alg": "RS256", "x5c": ["not a certificate"] }), Flaw::Chain),
        (json!({ "alg": "PS256", "kid": "k" }), Flaw::Algorithm),
        (json!({ "alg": "RS256", "kid": "k", "jku": "x" }), Flaw::UnknownHeader("jku".to_owned())),
    ] {
        assert_eq!(judged(&signed(&header, &claims)), [flaw], "{header}");
    }
}

#[test]
fn a_grant_that_was_changed_or_cut_is_seen() {
    let (header, claims) = good();
    let grant = signed(&header, &claims);
    let mut changed = claims.clone();
    changed["jti"] = json!("2");
    let (_, signature) = grant.rsplit_once('.').expect("three parts");
    let forged = signed(&header, &changed);
    let (text, _) = forged.rsplit_once('.').expect("three parts");
    assert_eq!(judged(&format!("{text}.{signature}")), [Flaw::Signature]);
    for text in ["", "a.b", "a.b.c", text] {
        assert_eq!(judged(text), [Flaw::NotAJwt], "{text}");
    }
}
