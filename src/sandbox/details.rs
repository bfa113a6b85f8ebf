//! `authorization_details` (RFC 9396) as Maskinporten has them: system users and consents.

use serde_json::{Map, Value, json};

use super::claims::iso6523;
use super::grant::is_digits;
use super::refusal::Refusal;
use super::registry::{Consent, Registry};

/// The types that the metadata announces.
pub(super) const TYPES: [&str; 2] = [SYSTEM_USER, CONSENT];

const SYSTEM_USER: &str = "urn:altinn:systemuser";
const CONSENT: &str = "urn:altinn:consent";

/// Who asks, in whose interest.
pub(super) struct Asker<'a> {
    pub(super) client_id: &'a str,
    /// The organisation number of the consumer.
    pub(super) consumer: &'a str,
}

/// Checks what a grant asks for; the answer is the token's claim of the same name.
pub(super) fn check(details: &Value, asker: &Asker<'_>, registry: &Registry) -> Result<Value, Refusal> {
    // One party in each grant.
    let Some([Value::Object(detail)]) = details.as_array().map(Vec::as_slice) else {
        return Err(Refusal::details_value("authorization_details"));
    };
    match detail.get("type").and_then(Value::as_str) {
        Some(SYSTEM_USER) => system_user(detail, asker, registry),
        Some(CONSENT) => consent(detail, asker, registry),
        Some(other) => Err(Refusal::details_type(other)),
        None => Err(Refusal::details_value("type")),
    }
}

fn system_user(
    detail: &Map<String, Value>,
    asker: &Asker<'_>,
    registry: &Registry,
) -> Result<Value, Refusal> {
    known_fields(detail, &["type", "systemuser_org", "externalRef"])?;
    let value = || Refusal::details_value("systemuser_org");
    let party = detail.get("systemuser_org").and_then(Value::as_object).ok_or_else(value)?;
    known_fields(party, &["authority", "ID"])?;
    if party.get("authority").and_then(Value::as_str) != Some("iso6523-actorid-upis") {
        return Err(value());
    }
    let id = party.get("ID").and_then(Value::as_str).ok_or_else(value)?;
    let organisation = id.strip_prefix("0192:").filter(|text| is_digits(text, 9)).ok_or_else(value)?;
    let external_ref = match detail.get("externalRef") {
        None => None,
        Some(Value::String(text)) if !text.is_empty() => Some(text.as_str()),
        Some(_) => return Err(Refusal::details_value("externalRef")),
    };
    let identifier = registry
        .system_user(asker.client_id, organisation, external_ref)
        .ok_or_else(|| Refusal::details_unknown("There is no such system user for this client"))?;
    let mut granted = json!({
        "type": SYSTEM_USER,
        "systemuser_id": [identifier],
        "systemuser_org": iso6523(organisation),
        "system_id": format!("{}_sandbox", asker.consumer),
    });
    if let Some(external_ref) = external_ref {
        granted["externalRef"] = external_ref.into();
    }
    Ok(json!([granted]))
}

fn consent(detail: &Map<String, Value>, asker: &Asker<'_>, registry: &Registry) -> Result<Value, Refusal> {
    known_fields(detail, &["type", "id", "from"])?;
    let text = |name| {
        let value = detail.get(name).and_then(Value::as_str);
        value.ok_or_else(|| Refusal::details_value(name))
    };
    let (id, from) = (text("id")?, text("from")?);
    if uuid::Uuid::try_parse(id).is_err() {
        return Err(Refusal::details_value("id"));
    }
    let person = from.strip_prefix("urn:altinn:person:identifier-no:").is_some_and(|no| is_digits(no, 11));
    let organisation =
        from.strip_prefix("urn:altinn:organization:identifier-no:").is_some_and(|no| is_digits(no, 9));
    if !person && !organisation {
        return Err(Refusal::details_value("from"));
    }
    let wanted = Consent { id: id.to_owned(), from: from.to_owned(), to: asker.consumer.to_owned() };
    if !registry.has_consent(&wanted) {
        return Err(Refusal::details_unknown("There is no such consent for this consumer"));
    }
    Ok(json!([{ "type": CONSENT, "id": id, "from": from, "to": iso6523(asker.consumer) }]))
}

fn known_fields(object: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(Refusal::details_field(unknown)),
        None => Ok(()),
    }
}
