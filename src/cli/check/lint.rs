//! Holds a signed grant against what Maskinporten's documentation asks of one
//! (`maskinporten_protocol_jwtgrant`; RFC 7523 §3), without the code that made it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::cli::language::tell;
use crate::config::identifiers::is_org_number;
use crate::keys::CertificateInfo;
use crate::oauth::Language;

/// The claims that Maskinporten knows; any other is an invalid assertion to it.
const KNOWN_CLAIMS: [&str; 10] =
    ["aud", "iss", "scope", "iat", "exp", "jti", "resource", "pid", "consumer_org", "authorization_details"];

/// Seconds from `iat` to `exp`, at most.
const LONGEST_LIFE: u64 = 120;
/// Seconds that `iat` may be off from the server's time.
const TOLERATED: u64 = 10;

/// What the grant should say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) scopes: &'a [String],
    /// PKCS#1 `RSAPublicKey` in DER.
    pub(super) public_key: &'a [u8],
    pub(super) now: SystemTime,
}

/// Something that Maskinporten would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NotAJwt,
    Algorithm,
    /// Neither or both of `kid` and `x5c`.
    KeyName,
    Chain,
    Signature,
    UnknownHeader(String),
    Audience,
    Issuer,
    Scope,
    IssuedAt,
    Life,
    JwtId,
    Resource,
    ConsumerOrg,
    Pid,
    UnknownClaim(String),
}

/// What is wrong with `grant`; nothing, as it should be.
pub(super) fn lint(grant: &str, expected: &Expected<'_>) -> Vec<Flaw> {
    let Some(parts) = Parts::of(grant) else { return vec![Flaw::NotAJwt] };
    let mut flaws = header(&parts, expected);
    flaws.extend(claims(&parts.claims, expected));
    flaws
}

struct Parts<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(grant: &'a str) -> Option<Self> {
        let (signed, signature) = grant.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

fn header(parts: &Parts<'_>, expected: &Expected<'_>) -> Vec<Flaw> {
    let header = &parts.header;
    let mut flaws = Vec::new();
    let algorithm = match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => Some(&RSA_PKCS1_2048_8192_SHA256),
        Some("RS384") => Some(&RSA_PKCS1_2048_8192_SHA384),
        Some("RS512") => Some(&RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    };
    match algorithm {
        None => flaws.push(Flaw::Algorithm),
        Some(algorithm) => {
            let key = UnparsedPublicKey::new(algorithm, expected.public_key);
            if key.verify(parts.signed.as_bytes(), &parts.signature).is_err() {
                flaws.push(Flaw::Signature);
            }
        }
    }
    let kid = header.get("kid").map(|kid| kid.as_str().is_some_and(|kid| !kid.is_empty()));
    match (kid, header.get("x5c")) {
        (Some(true), None) => {}
        (None, Some(chain)) if is_chain(chain) => {}
        (None, Some(_)) => flaws.push(Flaw::Chain),
        _ => flaws.push(Flaw::KeyName),
    }
    let unknown = header.keys().filter(|name| !matches!(name.as_str(), "alg" | "kid" | "x5c" | "typ"));
    flaws.extend(unknown.cloned().map(Flaw::UnknownHeader));
    flaws
}

/// RFC 7515 §4.1.6: an array of base64 (not base64url) DER, each certificate followed by that of
/// its issuer.
fn is_chain(chain: &Value) -> bool {
    let certificate = |value: &Value| CertificateInfo::from_der(&STANDARD.decode(value.as_str()?).ok()?);
    let Some(chain) = chain.as_array() else { return false };
    let Some(certificates) = chain.iter().map(certificate).collect::<Option<Vec<_>>>() else { return false };
    !certificates.is_empty() && certificates.windows(2).all(|pair| pair[0].issuer == pair[1].subject)
}

fn claims(claims: &Map<String, Value>, expected: &Expected<'_>) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut demand = |holds: bool, flaw: Flaw| {
        if !holds {
            flaws.push(flaw);
        }
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    demand(text("aud") == Some(expected.issuer), Flaw::Audience);
    demand(text("iss") == Some(expected.client_id), Flaw::Issuer);
    demand(text("jti").is_some_and(|id| !id.is_empty()), Flaw::JwtId);

    let asked: Vec<&str> = text("scope").unwrap_or_default().split(' ').collect();
    demand(asked == expected.scopes.iter().map(String::as_str).collect::<Vec<_>>(), Flaw::Scope);

    let seconds = |name: &str| claims.get(name).and_then(Value::as_u64);
    let now = expected.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let issued = seconds("iat");
    demand(issued.is_some_and(|issued| issued.abs_diff(now) <= TOLERATED), Flaw::IssuedAt);
    let life = issued.zip(seconds("exp")).and_then(|(issued, ends)| ends.checked_sub(issued));
    demand(life.is_some_and(|life| (1..=LONGEST_LIFE).contains(&life)), Flaw::Life);

    let is_text_list = |value: &Value| {
        value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string))
    };
    demand(claims.get("resource").is_none_or(is_text_list), Flaw::Resource);
    let is_org = |value: &Value| value.as_str().is_some_and(is_org_number);
    demand(claims.get("consumer_org").is_none_or(is_org), Flaw::ConsumerOrg);
    let is_pid = |value: &Value| {
        value.as_str().is_some_and(|pid| pid.len() == 11 && pid.bytes().all(|byte| byte.is_ascii_digit()))
    };
    demand(claims.get("pid").is_none_or(is_pid), Flaw::Pid);

    let unknown = claims.keys().filter(|name| !KNOWN_CLAIMS.contains(&name.as_str()));
    flaws.extend(unknown.cloned().map(Flaw::UnknownClaim));
    flaws
}

impl Flaw {
    pub(super) fn tell(&self, language: Language) -> String {
        match self {
            Self::NotAJwt => tell!(language, "it is not a signed JWT", "det er ikke en signert JWT"),
            Self::Algorithm => tell!(
                language,
                "`alg` is not RS256, RS384 or RS512",
                "`alg` er ikke RS256, RS384 eller RS512"
            ),
            Self::KeyName => tell!(
                language,
                "the header needs `kid` or `x5c`, and not both",
                "headeren må ha enten `kid` eller `x5c`"
            ),
            Self::Chain => tell!(
                language,
                "`x5c` is not a chain of certificates, leaf first, each followed by its issuer",
                "`x5c` er ikke en sertifikatkjede med virksomhetens sertifikat først og utstederne etter"
            ),
            Self::Signature => tell!(
                language,
                "the signature does not verify with the public key",
                "signaturen stemmer ikke med den offentlige nøkkelen"
            ),
            Self::UnknownHeader(name) => tell!(
                language,
                "the header holds `{name}`, which Maskinporten does not know",
                "headeren har `{name}`, som Maskinporten ikke kjenner"
            ),
            Self::Audience => {
                tell!(language, "`aud` is not the issuer, to the letter", "`aud` er ikke nøyaktig lik issuer")
            }
            Self::Issuer => tell!(language, "`iss` is not the client_id", "`iss` er ikke client_id"),
            Self::Scope => tell!(
                language,
                "`scope` is not the configured scopes, one space between each",
                "`scope` er ikke scopene som er satt opp, med ett mellomrom mellom hvert"
            ),
            Self::IssuedAt => tell!(
                language,
                "`iat` is not within {TOLERATED} s of now",
                "`iat` er mer enn {TOLERATED} s unna nå"
            ),
            Self::Life => tell!(
                language,
                "`exp` is not 1 to {LONGEST_LIFE} s after `iat`",
                "`exp` er ikke 1 til {LONGEST_LIFE} s etter `iat`"
            ),
            Self::JwtId => tell!(language, "`jti` is missing", "`jti` mangler"),
            Self::Resource => {
                tell!(language, "`resource` is not a list of texts", "`resource` er ikke en liste av tekster")
            }
            Self::ConsumerOrg => tell!(
                language,
                "`consumer_org` is not an organisation number (nine digits)",
                "`consumer_org` er ikke et organisasjonsnummer (ni siffer)"
            ),
            Self::Pid => tell!(language, "`pid` is not eleven digits", "`pid` er ikke elleve siffer"),
            Self::UnknownClaim(name) => tell!(
                language,
                "the claim `{name}` is unknown to Maskinporten, which refuses such grants",
                "Maskinporten kjenner ikke feltet `{name}`, og avviser slike grant"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
