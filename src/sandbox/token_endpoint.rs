//! `POST /token` (RFC 6749 §3.2, RFC 7523 §2.1): checks a grant and issues a token.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};

use super::claims::{Claims, iso6523};
use super::details::{self, Asker};
use super::grant::{self, Grant, Proof};
use super::record::{Outcome, TokenRequest};
use super::refusal::Refusal;
use super::registry::{Client, MASKINPORTEN, Registry};
use super::reply::Reply;
use super::shared::Shared;
use super::tokens::{Kind, at, stamps};
use super::visit::form_decoded;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A grant with a chain of five certificates is some 15 KiB.
const LARGEST_FORM: usize = 256 * 1024;

/// Answers a request, unless `fault` has been decided for it; records it either way.
pub(super) async fn serve<B>(shared: &Shared, request: Request<B>, fault: Option<Planned>) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.method() != Method::POST {
        return Refusal::request("The token endpoint takes POST alone.")
            .to_reply(&shared.issuer)
            .with_status(StatusCode::METHOD_NOT_ALLOWED)
            .with(ALLOW, HeaderValue::from_static("POST"));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_FORM).collect().await else {
        return Refusal::request("The body is too large, or broke off.")
            .to_reply(&shared.issuer)
            .with_status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = body.to_bytes();
    let assertion = assertion(&head.headers, &body);
    let grant = assertion.as_deref().map_err(Clone::clone).and_then(Grant::parse);
    let now = shared.now();
    let answer = match &fault {
        Some(Planned::Refuse(refusal)) => Err(refusal.clone()),
        Some(Planned::Answer) => Err(Refusal::request("")),
        None => grant.as_ref().map_err(Clone::clone).and_then(|grant| answer(shared, grant, now)),
    };
    let outcome = match (&fault, &answer) {
        (Some(Planned::Answer), _) => Outcome::Fault,
        (_, Ok(issued)) => Outcome::Issued { jti: issued.jti.clone() },
        (_, Err(refusal)) => Outcome::Refused(refusal.label()),
    };
    let (header, claims) = grant.map(|grant| (Claims(grant.header), grant.claims)).unwrap_or_default();
    shared.records.token_request(TokenRequest { at: now, header, claims, outcome });
    match answer {
        Ok(issued) => Reply::ok(&issued.body),
        Err(refusal) => refusal.to_reply(&shared.issuer),
    }
}

/// What a fault switch has decided about a request.
pub(super) enum Planned {
    /// Maskinporten refuses with this.
    Refuse(Refusal),
    /// Something else will be answered; the request is only recorded.
    Answer,
}

struct Answer {
    body: Value,
    jti: String,
}

/// The one `assertion` of a well-formed form.
fn assertion(headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::request("The content type is not application/x-www-form-urlencoded."));
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::request("The form is not UTF-8."))?;
    let (mut grant_type, mut assertion) = (None, None);
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match form_decoded(name).as_str() {
            "grant_type" => &mut grant_type,
            "assertion" => &mut assertion,
            // RFC 6749 §3.2: unrecognised parameters are ignored.
            _ => continue,
        };
        if slot.replace(form_decoded(value)).is_some() {
            return Err(Refusal::request("A parameter is included more than once."));
        }
    }
    match grant_type.as_deref() {
        Some(GRANT_TYPE) => {}
        Some(_) => return Err(Refusal::uncoded("unsupported_grant_type", "Unsupported grant type.")),
        None => return Err(Refusal::request("Missing parameter: grant_type.")),
    }
    assertion.filter(|text| !text.is_empty()).ok_or_else(|| Refusal::request("Missing parameter: assertion."))
}

fn answer(shared: &Shared, grant: &Grant<'_>, now: SystemTime) -> Result<Answer, Refusal> {
    let issuer = grant.issuer()?;
    let (client, authorities) = shared.registry(|registry| (registry.client(issuer), registry.authorities()));
    let client = client.filter(|client| client.active).ok_or_else(Refusal::unknown_client)?;
    let proof = grant.authenticate(&client, &authorities, now)?;
    let request = grant.check_claims(&shared.issuer, now)?;
    // From here on the grant is spent, even where it is refused for what it asks.
    if !shared.use_grant(&client.client_id, &request.jti, request.expires, now) {
        return Err(Refusal::used_before());
    }
    let details = shared.registry(|registry| authorize(registry, &client, &request))?;
    Ok(issue(shared, &client, proof, request, details, now))
}

/// Whether the client may have what it asks for; gives the token's `authorization_details`.
fn authorize(
    registry: &Registry,
    client: &Arc<Client>,
    request: &grant::Request,
) -> Result<Option<Value>, Refusal> {
    let supplier = &client.organisation;
    let on_client = client.scopes();
    if request.scopes.iter().any(|scope| !on_client.contains(scope)) {
        return Err(Refusal::scope_not_on_client());
    }
    if request.consumer_org.as_ref() == Some(supplier) {
        return Err(Refusal::own_consumer());
    }
    let consumer = request.consumer_org.as_ref().unwrap_or(supplier);
    for name in &request.scopes {
        let scope = registry.scope(name).filter(|scope| scope.active);
        let scope = scope.ok_or_else(Refusal::scope_not_on_client)?;
        if client.integration_type() != MASKINPORTEN || !scope.allows_type(MASKINPORTEN) {
            return Err(Refusal::scope_not_for_maskinporten());
        }
        if !scope.is_accessible_to(consumer) {
            return Err(Refusal::no_access(name));
        }
        if consumer != supplier && !registry.has_delegated(consumer, supplier, name) {
            return Err(Refusal::not_delegated(consumer, name, supplier));
        }
    }
    let Some(details) = &request.authorization_details else { return Ok(None) };
    let asker = Asker { client_id: &client.client_id, consumer };
    details::check(details, &asker, registry).map(Some)
}

fn issue(
    shared: &Shared,
    client: &Client,
    proof: Proof,
    request: grant::Request,
    details: Option<Value>,
    now: SystemTime,
) -> Answer {
    let default = shared.settings.token_lifetime.load(Ordering::Relaxed);
    let lifetime = client.token_lifetime().unwrap_or(default);
    let (issued, expires) = stamps(now, lifetime);
    let jti = uuid::Uuid::new_v4().simple().to_string();
    let scope = request.scopes.join(" ");

    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    match request.resource.as_slice() {
        [] => {}
        [one] => claim("aud", one.as_str().into()),
        several => claim("aud", several.into()),
    }
    claim("scope", scope.as_str().into());
    claim("iss", shared.issuer.as_str().into());
    let amr = match proof {
        Proof::RegisteredKey => "private_key_jwt",
        Proof::BusinessCertificate => "virksomhetssertifikat",
    };
    claim("client_amr", amr.into());
    claim("token_type", "Bearer".into());
    claim("exp", expires.into());
    claim("iat", issued.into());
    claim("client_id", client.client_id.as_str().into());
    claim("jti", jti.as_str().into());
    claim("consumer", iso6523(request.consumer_org.as_ref().unwrap_or(&client.organisation)));
    if request.consumer_org.is_some() {
        claim("supplier", iso6523(&client.organisation));
        claim("delegation_source", shared.issuer.as_str().into());
    }
    if let Some(pid) = request.pid {
        claim("pid", pid.into());
    }
    if let Some(details) = details {
        claim("authorization_details", details);
    }

    let token = shared.tokens.issue(Kind::Maskinporten, Claims(claims), at(expires), now);
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime,
        "scope": scope,
    });
    Answer { body, jti }
}

/// The authorization server's metadata (RFC 8414 §2).
pub(super) fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}token"),
        "jwks_uri": format!("{issuer}jwk"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "RS384", "RS512"],
        "grant_types_supported": [GRANT_TYPE],
        "authorization_details_types_supported": details::TYPES,
    })
}
