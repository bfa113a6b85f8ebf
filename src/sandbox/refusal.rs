//! Why the token endpoint refuses, in Maskinporten's own words.
//!
//! The codes and wordings follow Digdir's troubleshooting page (`maskinporten_feilsoking`). As in
//! the wild, the code stands at the end of `error_uri`; the description carries it only where
//! Maskinporten's does (the `MP-30x` family). Errors without a code have no `error_uri`.

use http::StatusCode;
use serde_json::json;

use super::reply::Reply;

/// One way of being refused: what goes into the body, but for the trace id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: Option<&'static str>,
    description: String,
}

const AUTHENTICATION: &str = "Invalid assertion. Client authentication failed.";

impl Refusal {
    /// A refusal that Maskinporten has no code for.
    pub(super) fn uncoded(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, code: None, description: description.into() }
    }

    fn coded(code: &'static str, error: &'static str, description: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::uncoded(error, description) }
    }

    fn forbidden(code: &'static str, description: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, ..Self::coded(code, "forbidden", description) }
    }

    /// A fault in the HTTP request around the grant (RFC 6749 §5.2).
    pub(super) fn request(description: &str) -> Self {
        Self::uncoded("invalid_request", description)
    }

    /// The JWT is not one that RFC 7523 and Maskinporten's profile of it allow.
    pub(super) fn assertion(detail: &str) -> Self {
        Self::uncoded("invalid_grant", format!("Invalid assertion. {detail}"))
    }

    /// The client did not prove who it is, in a way that has no code of its own.
    pub(super) fn header(detail: &str) -> Self {
        Self::uncoded("invalid_grant", format!("{AUTHENTICATION} Invalid JWT. {detail}"))
    }

    pub(super) fn parameter(name: &str) -> Self {
        Self::coded(
            "MP-011",
            "invalid_request",
            format!("Invalid assertion. Invalid parameter value. Parameter: {name}."),
        )
    }

    pub(super) fn used_before() -> Self {
        Self::coded("MP-012", "invalid_grant", "Validation of JWT Bearer grant failed. Grant is used before.")
    }

    pub(super) fn unknown_client() -> Self {
        Self::coded("MP-100", "invalid_grant", "Authentication of client by JWT failed. Client not found.")
    }

    pub(super) fn unknown_key() -> Self {
        Self::coded(
            "MP-100",
            "invalid_grant",
            format!("{AUTHENTICATION} Invalid JWT. Unknown key identifier (kid)."),
        )
    }

    /// `x5c` from a client that has a key registered.
    pub(super) fn kid_required() -> Self {
        Self::coded(
            "MP-100",
            "invalid_grant",
            format!(
                "{AUTHENTICATION} Invalid JWT. The client requires pre-registered jwk and no key identifier \
                 (kid) provided."
            ),
        )
    }

    pub(super) fn audience() -> Self {
        Self::coded("MP-110", "invalid_grant", format!("{AUTHENTICATION} Invalid JWT claim aud."))
    }

    pub(super) fn certificate(reason: &str) -> Self {
        Self::coded(
            "MP-120",
            "invalid_grant",
            format!("{AUTHENTICATION} The JWT is signed with an invalid certificate. {reason}."),
        )
    }

    pub(super) fn expired_key() -> Self {
        Self::coded("MP-121", "invalid_grant", format!("{AUTHENTICATION} Expired key."))
    }

    pub(super) fn organisation() -> Self {
        Self::coded(
            "MP-122",
            "invalid_grant",
            "Authentication of client by JWT failed. Invalid JWT. Invalid organization number for client. \
             Does not match certificate orgno.",
        )
    }

    pub(super) fn x5c() -> Self {
        Self::coded("MP-123", "invalid_grant", "Validation of JWT failed. Invalid JWT header x5c.")
    }

    pub(super) fn signature() -> Self {
        Self::coded("MP-124", "invalid_grant", format!("{AUTHENTICATION} Invalid JWT signature."))
    }

    pub(super) fn expired() -> Self {
        Self::coded("MP-130", "invalid_grant", "Authentication of client by JWT failed. JWT is expired.")
    }

    pub(super) fn issued_in_the_future() -> Self {
        Self::assertion("Issue time is after now.")
    }

    pub(super) fn scope_not_on_client() -> Self {
        Self::coded("MP-200", "invalid_scope", "Token request contains invalid scopes for client.")
    }

    pub(super) fn scope_not_for_maskinporten() -> Self {
        Self::coded("MP-201", "invalid_scope", "Token request contains scopes not allowed for maskinporten.")
    }

    pub(super) fn no_access(scope: &str) -> Self {
        Self::forbidden("MP-250", format!("Consumer has not been granted access to the scope {scope}."))
    }

    pub(super) fn not_delegated(consumer: &str, scope: &str, supplier: &str) -> Self {
        Self::forbidden(
            "MP-251",
            format!(
                "Consumer {consumer} has not delegated access to the scope {scope} to supplier {supplier}."
            ),
        )
    }

    /// `consumer_org` names the client's own organisation.
    pub(super) fn own_consumer() -> Self {
        Self::uncoded(
            "invalid_request",
            "Validation of JWT claim failed: The combination consumer_org in claim and delegation scope on \
             client is invalid.",
        )
    }

    pub(super) fn details_type(name: &str) -> Self {
        Self::coded(
            "MP-301",
            "invalid_authorization_details",
            format!("Unknown authorization details type: {name} (MP-301)."),
        )
    }

    pub(super) fn details_field(name: &str) -> Self {
        Self::coded(
            "MP-302",
            "invalid_authorization_details",
            format!("Unknown fields in the authorization details: {name} (MP-302)."),
        )
    }

    pub(super) fn details_value(name: &str) -> Self {
        Self::coded(
            "MP-303",
            "invalid_authorization_details",
            format!("Invalid authorization details values: {name} (MP-303)."),
        )
    }

    /// The details are well formed, but Altinn has no such system user or consent.
    pub(super) fn details_unknown(what: &str) -> Self {
        Self::coded("MP-303", "invalid_altinn_customer_configuration", format!("{what} (MP-303)."))
    }

    /// The refusal that goes with a code, as a fault switch asks for it by name.
    pub(super) fn by_code(code: &str) -> Option<Self> {
        Some(match code {
            "MP-011" => Self::parameter("scope"),
            "MP-012" => Self::used_before(),
            "MP-100" => Self::unknown_client(),
            "MP-110" => Self::audience(),
            "MP-120" => Self::certificate("The certificate is revoked"),
            "MP-121" => Self::expired_key(),
            "MP-122" => Self::organisation(),
            "MP-123" => Self::x5c(),
            "MP-124" => Self::signature(),
            "MP-130" => Self::expired(),
            "MP-200" => Self::scope_not_on_client(),
            "MP-201" => Self::scope_not_for_maskinporten(),
            "MP-250" => Self::no_access("demo:api"),
            "MP-251" => Self::not_delegated("910753614", "demo:api", "991825827"),
            "MP-301" => Self::details_type("urn:example"),
            "MP-302" => Self::details_field("example"),
            "MP-303" => Self::details_value("systemuser_org"),
            _ => return None,
        })
    }

    /// `MP-…`, or the description where there is no code: what a recorded request shows.
    pub(super) fn label(&self) -> String {
        self.code.map_or_else(|| self.description.clone(), str::to_owned)
    }

    pub(super) fn to_reply(&self, issuer: &str) -> Reply {
        let trace_id = uuid::Uuid::new_v4().simple();
        let mut body = json!({
            "error": self.error,
            "error_description": format!("{} (trace_id: {trace_id})", self.description),
        });
        if let Some(code) = self.code {
            body["error_uri"] = format!("{issuer}errors/{code}").into();
        }
        Reply::json(self.status, &body)
    }
}
