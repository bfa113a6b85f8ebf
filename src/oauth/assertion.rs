//! The grant: a signed JWT that says who asks for which token (RFC 7523 §2.1, §3).
//!
//! Maskinporten refuses any header or claim that it does not know ("Invalid assertion"), so
//! nothing is added here: no `typ`, `nbf` or `sub`. A grant is used once; each attempt is a new
//! [`Assertion`] with its own `jti`, times and signature.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroize;

use crate::config::Algorithm;
use crate::oauth::identity::Identity;
use crate::secret::Secret;

/// How far `iat` is set back. The server's clock may be a few seconds behind ours; Maskinporten
/// takes an `iat` within 10 s of its own time.
const SET_BACK: Duration = Duration::from_secs(5);

/// From `iat` to `exp`: the most that Maskinporten allows.
const LIFE: Duration = Duration::from_secs(120);

/// The private key that signs grants, however it is kept.
///
/// Signing takes about a millisecond of processor time; callers keep it off threads that carry
/// requests.
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// The algorithm of the `alg` header.
    fn algorithm(&self) -> Algorithm;

    /// The id under which the public key is registered on the client; `None` sends `x5c`.
    fn kid(&self) -> Option<&str>;

    /// The certificate chain as base64 (not base64url) DER, leaf first (RFC 7515 §4.1.6).
    fn x5c(&self) -> Option<&[String]>;

    /// The signature over `message` (RFC 7518 §3.3).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// What tells this key, in the form it is presented, from every other.
    fn identity(&self) -> KeyIdentity;
}

/// Why a grant could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key's own reason; it holds nothing of the key.
    #[error("the key did not sign: {0}")]
    Key(String),
    #[error("the key has neither a `kid` nor a certificate to be known by")]
    Anonymous,
    #[error("the signing task was cut off")]
    Interrupted,
}

/// Tells keys apart, so that a token obtained with one is not taken for another's. Made from
/// public data alone (key, `kid`, certificates, algorithm).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyIdentity(Arc<[u8]>);

/// A grant, signed and ready to be sent once.
#[derive(Debug)]
pub struct Assertion {
    jws: Secret<String>,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    resource: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_org: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<&'a serde_json::Value>,
}

impl Assertion {
    /// Signs a grant for `identity` as if the time were `now` (the server's time, as well as it
    /// is known). Blocks for the time of one RSA signature.
    ///
    /// # Errors
    ///
    /// When the key has no name to present, or fails to sign.
    pub fn sign(identity: &Identity, signer: &dyn Signer, now: SystemTime) -> Result<Self, SignError> {
        let kid = signer.kid();
        let x5c = if kid.is_some() { None } else { signer.x5c().filter(|chain| !chain.is_empty()) };
        if kid.is_none() && x5c.is_none() {
            return Err(SignError::Anonymous);
        }
        let header = Header { alg: signer.algorithm().name(), kid, x5c };

        let profile = identity.profile();
        let iat = unix_seconds(now).saturating_sub(SET_BACK.as_secs());
        let claims = Claims {
            aud: profile.issuer(),
            iss: profile.client_id(),
            scope: profile.scopes().join(" "),
            iat,
            exp: iat + LIFE.as_secs(),
            jti: Uuid::new_v4().to_string(),
            resource: profile.resource(),
            consumer_org: identity.consumer_org(),
            pid: identity.pid(),
            authorization_details: identity.authorization_details(),
        };

        // RFC 7515 §7.1, the compact serialisation. jsonwebtoken's `encode` parses the RSA key
        // anew for each signature and needs it as plain bytes, so the parts are put together here.
        let mut json = serde_json::to_vec(&claims).expect("string keys and plain values serialise");
        let mut jws = URL_SAFE_NO_PAD
            .encode(serde_json::to_vec(&header).expect("string keys and plain values serialise"));
        jws.reserve(json.len() * 2 + 1024);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(&json, &mut jws);
        json.zeroize();
        let signature = signer.sign(jws.as_bytes())?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(Self { jws: Secret::new(jws) })
    }

    /// The compact serialisation, for the token endpoint's eyes.
    pub fn expose(&self) -> &str {
        self.jws.expose()
    }
}

impl KeyIdentity {
    /// `public` is whatever of the public data tells keys apart; a digest will do.
    pub fn new(public: &[u8]) -> Self {
        Self(public.into())
    }
}

impl fmt::Debug for KeyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyIdentity(")?;
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
