//! The self-service API (Digdir's `oidc_api_admin` and `oidc_api_admin_maskinporten`): clients,
//! their keys, scopes, access and delegation sources.
//!
//! It believes nothing but the token: the organisation acted for is the token's consumer, and
//! each operation asks for its scope.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body::Body;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::reply::Reply;
use super::shared::Shared;
use super::tokens::{Issued, Kind};
use super::visit::{Seen, Visit};

mod clients;
mod scopes;

pub(super) const READ: &str = "idporten:dcr.read";
pub(super) const MODIFY: &str = "idporten:dcr.modify";
pub(super) const WRITE: &str = "idporten:dcr.write";
pub(super) const SUPPLIER: &str = "idporten:dcr.supplier";
pub(super) const SCOPES_WRITE: &str = "idporten:scopes.write";

/// Bodies beyond this are answered 413.
const LARGEST_BODY: usize = 1024 * 1024;

/// Prefixes under which the API is found in the wild.
const PREFIXES: [&str; 2] = ["/external/api/v1", "/api/v1"];

/// The path of a resource of this API without its prefix; `None` where it is none.
pub(super) fn resource(path: &str) -> Option<&str> {
    let path = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
    let first = path.strip_prefix('/')?.split('/').next()?;
    matches!(first, "clients" | "scopes" | "delegationsources").then_some(path)
}

/// Carries out an operation on `resource`.
pub(super) async fn serve<B>(shared: &Shared, visit: &Visit, request: Request<B>, resource: &str) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = BytesMut::new();
    let mut too_large = false;
    let seen = Seen::all(request.into_body(), |piece| {
        too_large |= body.len() + piece.len() > LARGEST_BODY;
        if !too_large {
            body.extend_from_slice(piece);
        }
    })
    .await;
    shared.records.api_request(visit.record(&seen));
    if too_large {
        return Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is beyond 1 MiB");
    }
    if !seen.complete {
        return Reply::bad_request("the body broke off");
    }
    let call = Call { shared, visit, body: &body };
    call.dispatch(resource).unwrap_or_else(|refusal| refusal)
}

/// One operation under way.
struct Call<'a> {
    shared: &'a Shared,
    visit: &'a Visit,
    body: &'a [u8],
}

/// The answer either way; the `Err` is one that ends the operation early.
type Answer = Result<Reply, Reply>;

impl Call<'_> {
    fn dispatch(&self, resource: &str) -> Answer {
        let segments = resource.trim_matches('/').split('/').map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| Reply::bad_request("the path is not UTF-8"))
        });
        let segments: Vec<String> = segments.collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let method = &self.visit.method;
        match segments.as_slice() {
            ["clients"] => match *method {
                Method::GET | Method::HEAD => self.list_clients(),
                Method::POST => self.create_client(),
                _ => Err(Reply::method_not_allowed("GET, POST")),
            },
            ["clients", id] => match *method {
                Method::GET | Method::HEAD => self.show_client(id),
                Method::PUT => self.replace_client(id),
                Method::DELETE => self.deactivate_client(id),
                _ => Err(Reply::method_not_allowed("GET, PUT, DELETE")),
            },
            ["clients", id, "jwks"] => match *method {
                Method::GET | Method::HEAD => self.show_keys(id),
                Method::POST | Method::PUT => self.replace_keys(id),
                _ => Err(Reply::method_not_allowed("GET, POST, PUT")),
            },
            ["scopes"] => match *method {
                Method::GET | Method::HEAD => self.list_scopes(),
                Method::POST => self.create_scope(),
                Method::PUT => self.replace_scope(),
                Method::DELETE => self.deactivate_scope(),
                _ => Err(Reply::method_not_allowed("GET, POST, PUT, DELETE")),
            },
            ["scopes", "all"] => match *method {
                Method::GET | Method::HEAD => self.list_public_scopes(),
                _ => Err(Reply::method_not_allowed("GET")),
            },
            ["scopes", "access"] => match *method {
                Method::GET | Method::HEAD => self.list_access(),
                _ => Err(Reply::method_not_allowed("GET")),
            },
            ["scopes", "access", organisation] => match *method {
                Method::PUT => self.change_access(organisation, true),
                Method::DELETE => self.change_access(organisation, false),
                _ => Err(Reply::method_not_allowed("PUT, DELETE")),
            },
            ["delegationsources"] => match *method {
                Method::GET | Method::HEAD => self.list_delegation_sources(),
                _ => Err(Reply::method_not_allowed("GET")),
            },
            _ => Err(Reply::not_found("there is no such resource")),
        }
    }

    fn list_delegation_sources(&self) -> Answer {
        self.caller(&[])?;
        let issuer = &self.shared.issuer;
        Ok(Reply::ok(&json!([{ "name": "Altinn (sandbox)", "issuer": issuer }])))
    }

    /// Who calls, with a token for this API that has one of `scopes` (none named: any will do).
    fn caller(&self, scopes: &[&str]) -> Result<Caller, Reply> {
        let token = self.visit.token()?;
        if token.kind != Kind::Maskinporten {
            return Err(Reply::token_invalid("an Altinn token is of no use here"));
        }
        if !self.is_audience(token) {
            return Err(Reply::token_invalid("the token is for another audience"));
        }
        let sufficient = scopes.is_empty() || scopes.iter().any(|scope| token.claims.has_scope(scope));
        if !sufficient {
            return Err(Reply::insufficient_scope(scopes.first().copied().unwrap_or_default()));
        }
        let organisation = token.claims.organisation("consumer").map(str::to_owned);
        let organisation = organisation.ok_or_else(|| Reply::token_invalid("the token has no consumer"))?;
        Ok(Caller { organisation, token: Arc::clone(token) })
    }

    /// A token that is restricted to an audience must name this API (RFC 8707).
    fn is_audience(&self, token: &Issued) -> bool {
        let ours = |audience: &Value| {
            let base = self.shared.issuer.trim_end_matches('/');
            audience.as_str().is_some_and(|audience| audience.trim_end_matches('/') == base)
        };
        match token.claims.get("aud") {
            None => true,
            Some(Value::Array(list)) => list.iter().any(ours),
            Some(one) => ours(one),
        }
    }

    /// The body as a JSON object.
    fn object(&self) -> Result<Map<String, Value>, Reply> {
        serde_json::from_slice(self.body).map_err(|_| Reply::bad_request("the body is not a JSON object"))
    }

    /// Whether deactivated entities are asked for too.
    fn with_inactive(&self) -> bool {
        self.visit.query("inactive").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

struct Caller {
    organisation: String,
    token: Arc<Issued>,
}

impl Caller {
    fn has_scope(&self, scope: &str) -> bool {
        self.token.claims.has_scope(scope)
    }
}
