//! Looking into a token, for display and for an `exp` that nothing else tells.
//!
//! Nothing is verified: the token is for the API, not for us (RFC 9068 §4 is the API's business).
//! No decision rests on what is read here but how long a token is kept.

use serde_json::{Map, Value};

/// Claims that name a person: their values are masked.
const PERSONAL: [&str; 3] = ["pid", "sub", "from"];

/// The payload's members, or `None` where the token is not a JWT.
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    // Three parts: jsonwebtoken would take more, and split them from the right.
    if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
}

/// The payload for a person's eyes: `pid` and its like are `***`, at any depth.
pub fn claims_for_display(token: &str) -> Option<Value> {
    let mut claims = Value::Object(claims(token)?);
    mask(&mut claims);
    Some(claims)
}

/// `exp` in seconds since 1970 (RFC 7519 §4.1.4).
pub fn expiry(token: &str) -> Option<u64> {
    let exp = claims(token)?.get("exp")?.as_f64()?;
    // Beyond the year 9999 it is no time but a mistake.
    (exp > 0.0 && exp < 253_402_300_800.0).then_some(exp as u64)
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if PERSONAL.contains(&name.as_str()) && member.is_string() {
                    *member = "***".into();
                } else {
                    mask(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) if is_pid(text) => *text = "***".to_owned(),
        _ => {}
    }
}

/// Eleven digits, alone or at the end of a URN (`urn:altinn:person:identifier-no:…`).
fn is_pid(text: &str) -> bool {
    let last = text.rsplit(':').next().unwrap_or(text);
    last.len() == 11 && last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn token(payload: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
        format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    #[test]
    fn persons_are_masked_at_any_depth() {
        let token = token(&json!({
            "pid": "17018900123",
            "scope": "a:b",
            "consumer": {"ID": "0192:910753614"},
            "authorization_details": [{"from": "urn:altinn:person:identifier-no:17018900123", "x": "17018900123"}],
        }));
        let shown = claims_for_display(&token).expect("it is a JWT").to_string();
        assert!(!shown.contains("17018900123"), "{shown}");
        assert!(shown.contains("a:b") && shown.contains("0192:910753614"), "{shown}");
    }

    #[test]
    fn an_opaque_token_has_no_claims() {
        for opaque in ["", "abc", "a.b.c", "a.b", "..", "a.b.c.d.e"] {
            assert_eq!(claims(opaque), None, "{opaque}");
            assert_eq!(expiry(opaque), None, "{opaque}");
        }
    }

    #[test]
    fn expiry_is_a_plausible_number() {
        assert_eq!(expiry(&token(&json!({"exp": 1_800_000_000}))), Some(1_800_000_000));
        for exp in [json!("1800000000"), json!(-1), json!(0), json!(1e300), json!(null)] {
            assert_eq!(expiry(&token(&json!({"exp": exp}))), None, "{exp}");
        }
    }
}
