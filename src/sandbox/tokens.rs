//! Access tokens: signed here, and recognised when they come back.
//!
//! The signature is ES256, since making an RSA key would slow the start and tokens are opaque to
//! clients. Tokens are kept as SHA-256 digests, never as text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::claims::Claims;

/// Who issued a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token endpoint.
    Maskinporten,
    /// Altinn's exchange.
    Altinn,
}

/// A token that the sandbox issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) kind: Kind,
    pub(super) claims: Claims,
    pub(super) expires: SystemTime,
}

/// What a token that came in turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Presented {
    Live(Arc<Issued>),
    Expired {
        claims: Option<Arc<Issued>>,
        by: Duration,
    },
    Revoked(Arc<Issued>),
    /// No token of this sandbox.
    Unknown,
}

/// The signing key and the tokens that were signed with it.
pub(super) struct Tokens {
    key: EcdsaKeyPair,
    kid: String,
    issued: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    entries: HashMap<[u8; 32], Entry>,
    /// The size at which tokens past their life are swept out next.
    sweep_at: usize,
}

struct Entry {
    token: Arc<Issued>,
    revoked: bool,
}

impl Tokens {
    pub(super) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("making a P-256 key fails only where the random source does");
        Self { key, kid: uuid::Uuid::new_v4().to_string(), issued: Mutex::default() }
    }

    /// Signs a token. `claims` hold `exp` already; `expires` is the same time.
    pub(super) fn issue(&self, kind: Kind, claims: Claims, expires: SystemTime, now: SystemTime) -> String {
        let header = json!({ "kid": self.kid, "alg": "ES256", "typ": "JWT" });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&header), encode(&Value::Object(claims.0.clone())));
        let signature = self
            .key
            .sign(&SystemRandom::new(), input.as_bytes())
            .expect("signing with a P-256 key in memory fails only where the random source does");
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let issued = Arc::new(Issued { kind, claims, expires });
        self.ledger(|ledger| {
            ledger.sweep(now);
            ledger.entries.insert(fingerprint(&token), Entry { token: issued, revoked: false });
        });
        token
    }

    pub(super) fn judge(&self, token: &str, now: SystemTime) -> Presented {
        let known = self.ledger(|ledger| {
            let entry = ledger.entries.get(&fingerprint(token))?;
            Some((Arc::clone(&entry.token), entry.revoked))
        });
        let Some((issued, revoked)) = known else { return self.judge_forgotten(token, now) };
        if let Ok(by) = now.duration_since(issued.expires) {
            return Presented::Expired { claims: Some(issued), by };
        }
        if revoked { Presented::Revoked(issued) } else { Presented::Live(issued) }
    }

    /// A token that was swept out is told from a foreign one by its signature.
    fn judge_forgotten(&self, token: &str, now: SystemTime) -> Presented {
        let expired = || {
            let (input, signature) = token.rsplit_once('.')?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
            key.verify(input.as_bytes(), &signature).ok()?;
            let claims = URL_SAFE_NO_PAD.decode(input.split_once('.')?.1).ok()?;
            let claims: Value = serde_json::from_slice(&claims).ok()?;
            let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.get("exp")?.as_u64()?);
            Some(Presented::Expired { claims: None, by: now.duration_since(expires).unwrap_or_default() })
        };
        expired().unwrap_or(Presented::Unknown)
    }

    /// Ends tokens before their time: all that `matches` chooses.
    pub(super) fn revoke(&self, matches: impl Fn(&Issued) -> bool) {
        self.ledger(|ledger| {
            for entry in ledger.entries.values_mut() {
                entry.revoked |= matches(&entry.token);
            }
        });
    }

    /// The public key as a JWK set (RFC 7518 §6.2.1).
    pub(super) fn jwks(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({ "keys": [{
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]})
    }

    fn ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.issued.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ledger {
    /// Costs a constant time for each token issued, on average.
    fn sweep(&mut self, now: SystemTime) {
        if self.entries.len() < self.sweep_at.max(1024) {
            return;
        }
        self.entries.retain(|_, entry| entry.token.expires > now);
        self.sweep_at = self.entries.len() * 2;
    }
}

/// `iat` and `exp` (seconds since 1970) of a token that lives at least `seconds` from `now`.
///
/// `exp` is rounded up, so that `expires_in` is never more than what the token has; a token with
/// `expires_in` 119 has `exp` − `iat` = 120 then, as Maskinporten's have.
pub(super) fn stamps(now: SystemTime, seconds: u32) -> (u64, u64) {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let up = u64::from(since.subsec_nanos() > 0);
    (since.as_secs(), since.as_secs() + up + u64::from(seconds))
}

/// Seconds since 1970 as a time.
pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn fingerprint(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}
