//! What loads, and that what is signed then is verified by the leaf's public key.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::keys::certificate::Certificate;

const ORG_NUMBER: &str = "991825827";

/// The public key of the leaf that stands in the fixtures, PKCS#1.
fn leaf_key() -> Vec<u8> {
    Certificate::parse(&fixture("leaf.der")).unwrap().public_key
}

fn verify(key: &SigningKey, public_key: &[u8]) {
    let message = b"eyJhbGciOiJSUzI1NiJ9.e30";
    let signature = key.sign(message).unwrap();
    let algorithm = match key.algorithm() {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
    };
    UnparsedPublicKey::new(algorithm, public_key)
        .verify(message, &signature)
        .expect("the signature verifies");
}

struct Case {
    file: &'static str,
    password: &'static str,
    alias: Option<&'static str>,
    certificate: Option<&'static str>,
    /// Certificates in `x5c`; 0: the file has none, and the key works by `kid` alone.
    chain: usize,
}

const fn case(file: &'static str, chain: usize) -> Case {
    Case { file, password: PASSWORD, alias: None, certificate: None, chain }
}

const CASES: &[Case] = &[
    case("aes.p12", 3),
    case("legacy.p12", 3),
    case("keytool.p12", 3),
    case("bouncycastle.p12", 3),
    case("pkcs12-named.jks", 3),
    case("odd-order.p12", 3),
    case("norwegian-alias.p12", 3),
    Case { password: "blåbær€", ..case("norwegian-password.p12", 3) },
    Case { password: "", ..case("empty-password.p12", 3) },
    Case { password: "", ..case("unprotected.p12", 3) },
    case("several.p12", 3),
    Case { alias: Some("first"), ..case("two-signing.p12", 3) },
    case("one.jks", 3),
    case("jks-named.p12", 3),
    case("norwegian-alias.jks", 3),
    Case { alias: Some("NØKKEL PÅ ærøy"), ..case("norwegian-alias.jks", 3) },
    case("several.jks", 3),
    case("chain-in-pieces.jks", 3),
    Case { alias: Some("SIGN"), ..case("several.jks", 3) },
    Case { alias: Some("VIRKSOMHET"), ..case("aes.p12", 3) },
    case("pkcs8.pem", 3),
    case("pkcs1.pem", 3),
    case("reversed.pem", 3),
    case("encrypted.pem", 3),
    case("openssl-pkcs12-output.pem", 3),
    Case { certificate: Some("chain.pem"), ..case("key-only.pem", 3) },
    Case { certificate: Some("leaf.der"), ..case("key-only.pem", 1) },
    Case { certificate: Some("chain.pem"), ..case("pkcs8.der", 3) },
    Case { certificate: Some("chain.pem"), ..case("pkcs1.der", 3) },
    Case { certificate: Some("chain.pem"), ..case("encrypted.der", 3) },
    Case { certificate: Some("chain.pem"), ..case("encrypted-des3.pem", 3) },
    Case { certificate: Some("chain.pem"), ..case("encrypted-scrypt.pem", 3) },
    Case { certificate: Some("chain.pem"), ..case("encrypted-sha1-3des.pem", 3) },
    Case { certificate: Some("chain.pem"), ..case("bare.jwk", 3) },
    Case { certificate: Some("leaf.der"), ..case("aes.p12", 3) },
    case("x5c.jwk", 3),
    case("key-only.pem", 0),
    case("pkcs8.der", 0),
    case("pkcs1.der", 0),
    case("encrypted.der", 0),
    case("bare.jwk", 0),
    case("expired.p12", 0),
    case("mismatch.pem", 0),
];

impl Case {
    fn source(&self) -> KeySource {
        KeySource {
            alias: self.alias.map(str::to_owned),
            certificate: self.certificate.map(path),
            ..source(self.file)
        }
    }
}

#[test]
fn every_form_signs_with_its_chain_as_x5c() {
    for case in CASES.iter().filter(|case| case.chain > 0) {
        let key = load(&case.source(), &Passwords::one(case.password))
            .unwrap_or_else(|error| panic!("{}: {error}", case.file));
        verify(&key, &leaf_key());
        assert_eq!(key.kid(), None, "{}", case.file);
        let x5c = key.x5c().expect("a certificate is sent");
        assert_eq!(x5c.len(), case.chain, "{}", case.file);
        // Leaf first, each issued by the next, in base64 that is not the URL's.
        let der: Vec<_> = x5c.iter().map(|text| STANDARD.decode(text).unwrap()).collect();
        assert_eq!(der, key.chain(), "{}", case.file);
        let parsed: Vec<_> = der.iter().map(|der| X509Certificate::from_der(der).unwrap().1).collect();
        assert_eq!(parsed[0].public_key().subject_public_key.data.as_ref(), leaf_key(), "{}", case.file);
        for pair in parsed.windows(2) {
            assert_eq!(pair[0].issuer(), pair[1].subject(), "{}", case.file);
        }
        let certificate = key.certificate().unwrap();
        assert_eq!(certificate.org_number.as_deref(), Some(ORG_NUMBER), "{}", case.file);
        assert!(certificate.may_sign());
    }
}

#[test]
fn every_form_signs_under_a_kid_and_sends_no_certificate() {
    for case in CASES {
        let source = KeySource { kid: Some("my-kid".to_owned()), ..case.source() };
        let key = load(&source, &Passwords::one(case.password))
            .unwrap_or_else(|error| panic!("{}: {error}", case.file));
        verify(&key, &leaf_key());
        assert_eq!(key.kid(), Some("my-kid"), "{}", case.file);
        assert_eq!(key.x5c(), None, "{}", case.file);
        assert_eq!(key.warnings(now()), [], "{}", case.file);
    }
}

#[test]
fn every_algorithm_signs_with_its_hash() {
    for algorithm in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512] {
        let source = KeySource { algorithm, ..source("aes.p12") };
        let key = load(&source, &Passwords::one(PASSWORD)).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        verify(&key, &leaf_key());
    }
}

#[test]
fn a_key_with_a_password_of_its_own() {
    let passwords = Passwords { key: Some(Secret::from("keypass")), ..Passwords::one(PASSWORD) };
    verify(&load(&source("key-password.jks"), &passwords).unwrap(), &leaf_key());
    // A JKS can be listed without its own password, so the key's is enough.
    let passwords = Passwords { store: None, ..passwords };
    verify(&load(&source("key-password.jks"), &passwords).unwrap(), &leaf_key());
}

#[test]
fn a_jwks_own_kid_is_used_unless_another_is_configured() {
    let key = load(&source("kid.jwk"), &Passwords::default()).unwrap();
    assert_eq!(key.kid(), Some("from-the-jwk"));
    let configured = KeySource { kid: Some("other".to_owned()), ..source("kid.jwk") };
    assert_eq!(load(&configured, &Passwords::default()).unwrap().kid(), Some("other"));
    let set = load(&source("one.jwks"), &Passwords::default()).unwrap();
    assert_eq!(set.kid(), Some("private"));
    let rs512 = KeySource { algorithm: Algorithm::Rs512, ..source("rs512.jwk") };
    verify(&load(&rs512, &Passwords::default()).unwrap(), &leaf_key());
}

#[test]
fn the_kid_picks_the_key_of_a_jwk_set() {
    let pick = |kid: &str| {
        let source = KeySource { kid: Some(kid.to_owned()), ..source("two.jwks") };
        load(&source, &Passwords::default()).unwrap()
    };
    verify(&pick("one"), &leaf_key());
    assert_ne!(pick("two").public_key(), leaf_key());
}

#[test]
fn the_only_key_that_may_sign_is_chosen_among_several() {
    for file in ["several.p12", "several.jks"] {
        let key = load(&source(file), &Passwords::one(PASSWORD)).unwrap();
        assert_eq!(key.alias(), Some("sign"), "{file}");
    }
}

#[test]
fn inline_bytes_load_as_files_do() {
    let escaped = String::from_utf8(fixture("pkcs8.pem")).unwrap().replace('\n', "\\n");
    for bytes in
        [fixture("one.jks"), escaped.into_bytes(), [b"\xef\xbb\xbf", &*fixture("pkcs8.pem")].concat()]
    {
        let source = KeySource { material: KeyMaterial::Inline(Secret::new(bytes)), ..source("") };
        verify(&load(&source, &Passwords::one(PASSWORD)).unwrap(), &leaf_key());
    }
}

#[test]
fn the_same_key_has_the_same_identity_whatever_file_it_came_from() {
    let identity = |source: &KeySource| load(source, &Passwords::one(PASSWORD)).unwrap().identity().clone();
    let kid = |kid: &str, file| KeySource { kid: Some(kid.to_owned()), ..source(file) };
    assert_eq!(identity(&source("aes.p12")), identity(&source("one.jks")));
    assert_eq!(identity(&kid("a", "aes.p12")), identity(&kid("a", "bare.jwk")));
    assert_ne!(identity(&kid("a", "aes.p12")), identity(&kid("b", "aes.p12")));
    assert_ne!(identity(&source("aes.p12")), identity(&kid("a", "aes.p12")));
    // Another certificate of the same key.
    assert_ne!(identity(&source("aes.p12")), identity(&source("legacy.p12")));
    let rs384 = KeySource { algorithm: Algorithm::Rs384, ..source("aes.p12") };
    assert_ne!(identity(&source("aes.p12")), identity(&rs384));
}

#[test]
fn the_public_jwk_is_the_keys_and_nothing_more() {
    let key = load(&source("kid.jwk"), &Passwords::default()).unwrap();
    let private: serde_json::Value = serde_json::from_slice(&fixture("kid.jwk")).unwrap();
    let public = key.public_jwk();
    for member in ["kty", "n", "e", "kid", "alg", "use"] {
        assert_eq!(public[member], private[member], "{member}");
    }
    assert_eq!(public.as_object().unwrap().len(), 6);
}

#[test]
fn debug_shows_no_key() {
    let key = load(&source("kid.jwk"), &Passwords::default()).unwrap();
    let private: serde_json::Value = serde_json::from_slice(&fixture("kid.jwk")).unwrap();
    let text = format!("{key:?} {key:#?}");
    assert!(text.contains("SigningKey") && text.contains("from-the-jwk"));
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        assert!(!text.contains(private[member].as_str().unwrap()), "{member}");
    }
}

#[test]
fn a_generated_key_loads_and_its_public_half_verifies() {
    let made = generate(KeyBits::B3072, None).unwrap();
    let kid = Some(made.kid.as_str());
    let bytes = made.pem.expose().as_bytes();
    let selection = Selection { kid, ..Selection::default() };
    let key = SigningKey::from_bytes(bytes, &selection, &Passwords::default(), now()).unwrap();
    verify(&key, key.public_key());
    let jwk = &made.public_jwks["keys"][0];
    assert_eq!(*jwk, key.public_jwk());
    assert_eq!(URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap().len(), 384);
    assert_eq!(jwk["kid"], made.kid);
    assert!(jwk.get("d").is_none());
    assert_eq!(generate(KeyBits::B2048, Some("mine")).unwrap().kid, "mine");
}
