//! Altinn's exchange: a Maskinporten token in, an Altinn token out, as text.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::reply::Reply;
use super::shared::Shared;
use super::tokens::{Issued, Kind, at, stamps};
use super::visit::{Seen, Visit};

/// Where Altinn's platform has it.
pub(super) const PATH: &str = "/authentication/api/v1/exchange/maskinporten";

pub(super) async fn serve<B>(shared: &Shared, visit: &Visit, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let seen = Seen::all(request.into_body(), |_| {}).await;
    shared.records.altinn_request(visit.record(&seen));
    if visit.method != Method::GET {
        return Reply::method_not_allowed("GET");
    }
    let token = match visit.token() {
        Ok(token) if token.kind == Kind::Maskinporten => token,
        Ok(_) => return Reply::token_invalid("this is an Altinn token already"),
        Err(refusal) => return refusal,
    };
    exchange(shared, token)
}

fn exchange(shared: &Shared, maskinporten: &Issued) -> Reply {
    let now = shared.now();
    let (issued, expires) = stamps(now, shared.settings.altinn_lifetime.load(Ordering::Relaxed));
    let mut claims = Map::new();
    let carried =
        ["scope", "client_id", "consumer", "supplier", "pid", "authorization_details", "client_amr", "aud"];
    for name in carried {
        if let Some(value) = maskinporten.claims.get(name) {
            claims.insert(name.to_owned(), value.clone());
        }
    }
    let mut claim = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    claim("token_type", "Bearer".into());
    claim("iss", format!("{}authentication/api/v1/openid/", shared.issuer).into());
    claim("urn:altinn:authenticatemethod", "maskinporten".into());
    claim("urn:altinn:authlevel", "3".into());
    if let Some(organisation) = maskinporten.claims.organisation("consumer") {
        claim("urn:altinn:orgNumber", organisation.into());
    }
    claim("jti", uuid::Uuid::new_v4().to_string().into());
    claim("iat", issued.into());
    claim("nbf", issued.into());
    claim("exp", expires.into());

    let token = shared.tokens.issue(Kind::Altinn, Claims(claims), at(expires), now);
    if shared.settings.altinn_quoted.load(Ordering::Relaxed) {
        return Reply::ok(&Value::String(token));
    }
    Reply::text(StatusCode::OK, "text/plain; charset=utf-8", token)
}
