//! The judge of grants: a JWT as RFC 7523 §2.1 and Digdir's `maskinporten_protocol_jwtgrant`
//! have it, and nothing else.
//!
//! Its own parsing, base64url and JSON; the RSA arithmetic is aws-lc's. What it does not do:
//! decide what the client may have (that is `token_endpoint`'s).

use std::time::SystemTime;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::certificate;
use super::claims::Claims;
use super::refusal::Refusal;
use super::registry::Client;

/// A JWT in three parts, read but not yet believed.
pub(super) struct Grant<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// How a client proved who it is: the token's `client_amr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    RegisteredKey,
    BusinessCertificate,
}

/// The claims of a grant that was found good.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) jti: String,
    /// Seconds since 1970.
    pub(super) expires: u64,
    pub(super) scopes: Vec<String>,
    pub(super) resource: Vec<String>,
    pub(super) consumer_org: Option<String>,
    pub(super) pid: Option<String>,
    pub(super) authorization_details: Option<Value>,
}

/// The claims that Maskinporten knows; any other makes a grant invalid.
const CLAIMS: [&str; 10] =
    ["aud", "iss", "scope", "iat", "exp", "jti", "resource", "consumer_org", "pid", "authorization_details"];

/// Seconds that `iat` may be off by, either way.
const SKEW: f64 = 10.0;
/// Seconds from `iat` to `exp` at most.
const LONGEST_LIFE: f64 = 120.0;

impl<'a> Grant<'a> {
    pub(super) fn parse(assertion: &'a str) -> Result<Self, Refusal> {
        let malformed = || Refusal::assertion("It is no JWT in compact serialization.");
        let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        Ok(Self {
            header: object(header).ok_or_else(malformed)?,
            claims: Claims(object(claims).ok_or_else(malformed)?),
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?,
        })
    }

    /// The client that the grant says it comes from.
    pub(super) fn issuer(&self) -> Result<&str, Refusal> {
        self.claims.text("iss").ok_or_else(Refusal::unknown_client)
    }

    /// Checks the header and the signature against what is known of the client.
    pub(super) fn authenticate(
        &self,
        client: &Client,
        authorities: &[Vec<u8>],
        now: SystemTime,
    ) -> Result<Proof, Refusal> {
        let parameters = self.algorithm()?;
        if self.header.contains_key("crit") {
            return Err(Refusal::header("Unknown critical header."));
        }
        match (self.header.get("kid"), self.header.get("x5c")) {
            (Some(_), Some(_)) => Err(Refusal::header("Both kid and x5c provided.")),
            (None, None) if client.keys.is_empty() => Err(Refusal::header("Neither kid nor x5c provided.")),
            (None, _) if !client.keys.is_empty() => Err(Refusal::kid_required()),
            (Some(kid), None) => {
                let key = client.keys.iter().find(|key| Some(key.kid()) == kid.as_str());
                let key = key.ok_or_else(Refusal::unknown_key)?;
                if key.expires.is_some_and(|expires| expires <= now) {
                    return Err(Refusal::expired_key());
                }
                key.components()
                    .verify(parameters, self.signed.as_bytes(), &self.signature)
                    .map_err(|_| Refusal::signature())?;
                Ok(Proof::RegisteredKey)
            }
            (None, x5c) => {
                let leaf = certificate::verify(x5c.unwrap_or(&Value::Null), authorities, now)?;
                UnparsedPublicKey::new(parameters, &leaf.public_key)
                    .verify(self.signed.as_bytes(), &self.signature)
                    .map_err(|_| Refusal::signature())?;
                if leaf.organisation != client.organisation {
                    return Err(Refusal::organisation());
                }
                Ok(Proof::BusinessCertificate)
            }
        }
    }

    fn algorithm(&self) -> Result<&'static RsaParameters, Refusal> {
        match self.header.get("alg").and_then(Value::as_str) {
            Some("RS256") => Ok(&RSA_PKCS1_2048_8192_SHA256),
            Some("RS384") => Ok(&RSA_PKCS1_2048_8192_SHA384),
            Some("RS512") => Ok(&RSA_PKCS1_2048_8192_SHA512),
            _ => Err(Refusal::header("Invalid JWT header alg.")),
        }
    }

    /// Checks every claim on its own; what they ask for together is judged later.
    pub(super) fn check_claims(&self, issuer: &str, now: SystemTime) -> Result<Request, Refusal> {
        if let Some(unknown) = self.claims.keys().find(|name| !CLAIMS.contains(&name.as_str())) {
            return Err(Refusal::assertion(&format!("Unknown claim: {unknown}.")));
        }
        if self.claims.text("aud") != Some(issuer) {
            return Err(Refusal::audience());
        }
        let expires = self.check_times(now)?;
        Ok(Request {
            jti: self.claims.text("jti").filter(|jti| !jti.is_empty()).ok_or_else(missing("jti"))?.to_owned(),
            expires,
            scopes: self.scopes()?,
            resource: self.resource()?,
            consumer_org: self.digits("consumer_org", 9)?,
            pid: self.digits("pid", 11)?,
            authorization_details: self.claims.get("authorization_details").cloned(),
        })
    }

    /// `exp`, in seconds since 1970, rounded up.
    fn check_times(&self, now: SystemTime) -> Result<u64, Refusal> {
        let number = |name| self.claims.get(name).and_then(Value::as_f64).ok_or_else(missing(name));
        let (issued, expires) = (number("iat")?, number("exp")?);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        if issued > now + SKEW {
            return Err(Refusal::issued_in_the_future());
        }
        if expires <= now || issued < now - SKEW {
            return Err(Refusal::expired());
        }
        if expires - issued > LONGEST_LIFE {
            return Err(Refusal::assertion("The time from iat to exp is more than 120 seconds."));
        }
        // Within 130 s of now, so it fits.
        Ok(expires.ceil() as u64)
    }

    fn scopes(&self) -> Result<Vec<String>, Refusal> {
        let text = self.claims.text("scope").ok_or_else(missing("scope"))?;
        // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
        let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.bytes().all(allowed) {
            return Err(Refusal::parameter("scope"));
        }
        let scopes: Vec<String> =
            text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if scopes.is_empty() { Err(Refusal::parameter("scope")) } else { Ok(scopes) }
    }

    fn resource(&self) -> Result<Vec<String>, Refusal> {
        let Some(value) = self.claims.get("resource") else { return Ok(Vec::new()) };
        super::registry::strings(value)
            .filter(|list| !list.is_empty() && list.iter().all(|resource| !resource.is_empty()))
            .ok_or_else(missing("resource"))
    }

    /// A claim that is a text of exactly so many digits, where it is there at all.
    fn digits(&self, name: &'static str, count: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let text = value.as_str().filter(|text| is_digits(text, count)).ok_or_else(missing(name))?;
        Ok(Some(text.to_owned()))
    }
}

pub(super) fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn missing(name: &'static str) -> impl Fn() -> Refusal {
    move || Refusal::parameter(name)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
