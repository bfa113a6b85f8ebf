//! What the status page and `/api/status` show: plain values, secrets left out by construction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::telemetry::redact;
use crate::telemetry::timestamp;

/// A future that can cross threads, for the one method of [`Source`] that waits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the admin listener learns of the state that is live right now.
pub trait Source: Send + Sync {
    /// Everything that `/api/status` shows.
    fn status(&self) -> StatusSnapshot;

    /// Whether the token of every route whose claims are fixed is held.
    fn readiness(&self) -> Readiness;

    /// Fetches the token of this client and route anew, and returns what is then held. The old
    /// token goes on serving where this fails.
    fn refresh<'a>(
        &'a self,
        client: &'a str,
        route: &'a str,
    ) -> BoxFuture<'a, Result<TokenStatus, RefreshError>>;
}

/// The state at one moment; serialised as it is.
#[derive(Clone, Debug, Serialize)]
pub struct StatusSnapshot {
    pub service: ServiceStatus,
    pub clients: Vec<ClientStatus>,
    pub routes: Vec<RouteStatus>,
    pub tokens: Vec<TokenStatus>,
    pub config: ConfigStatus,
}

/// The process itself.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    pub version: &'static str,
    #[serde(serialize_with = "as_timestamp")]
    pub started_at: SystemTime,
    /// The proxy's own address as a client on this machine writes it: `http://127.0.0.1:8080`, or
    /// `unix:/path` for a socket.
    pub url: String,
    /// Whether clients must send `Proxy-Authorization`.
    pub password_required: bool,
}

/// A Maskinporten client and the certificate it signs with.
#[derive(Clone, Debug, Serialize)]
pub struct ClientStatus {
    pub name: String,
    pub client_id: String,
    pub issuer: String,
    /// `None` for a registered key without a certificate.
    #[serde(serialize_with = "as_optional_timestamp")]
    pub certificate_expires_at: Option<SystemTime>,
    /// Seconds; negative once it is past.
    pub certificate_expires_in: Option<i64>,
    /// Seconds that Maskinporten's clock is ahead of this machine's, negative where it is behind,
    /// as of its last answer; 0 where there is no difference to speak of, `None` before the first.
    pub clock_offset: Option<i64>,
    /// What needs attention, in a sentence: a certificate near its end, a clock that is off.
    pub warning: Option<String>,
}

/// A route as it is configured.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStatus {
    pub name: String,
    pub path: String,
    pub upstream: String,
    pub client: String,
    /// `None`: every method.
    pub methods: Option<Vec<String>>,
    pub host: Option<String>,
    /// `read-only` or `read-write`.
    pub access: &'static str,
}

/// A route's token.
#[derive(Clone, Debug, Serialize)]
pub struct TokenStatus {
    pub client: String,
    pub route: String,
    pub scopes: Vec<String>,
    pub state: TokenState,
    #[serde(serialize_with = "as_optional_timestamp")]
    pub expires_at: Option<SystemTime>,
    /// Seconds; negative once it is past.
    pub expires_in: Option<i64>,
    pub claims: Option<ClaimsView>,
    /// The last attempt's error, until one succeeds. A live token may have one.
    pub error: Option<TokenError>,
}

/// How it stands with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenState {
    /// Held, and good for requests.
    Live,
    /// None held yet; the first one is being fetched.
    Fetching,
    /// None held; attempts fail and go on.
    Unavailable,
    /// None held; Maskinporten refuses, and only a person can mend it.
    Refused,
    /// It ran out, and there is no newer one.
    Expired,
    /// Its claims come with requests, so there is none to fetch ahead.
    OnDemand,
}

/// Why there is no (newer) token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenError {
    /// Maskinporten's code, `MP-…`, where it gave one.
    pub code: Option<String>,
    pub cause: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// The claims of a token, redacted when they are put in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ClaimsView(Arc<Value>);

/// The configuration that is live.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigStatus {
    #[serde(serialize_with = "as_timestamp")]
    pub loaded_at: SystemTime,
    /// Why the newest configuration is not the one that is live.
    pub error: Option<String>,
    /// Whether a change waits for a restart.
    pub needs_restart: bool,
    /// The settings that wait for it.
    pub restart_for: Vec<String>,
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why not, a sentence for each route.
    pub reasons: Vec<String>,
}

/// Why a token was not refreshed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    #[error("no such token")]
    Unknown,
    #[error("{}", .0.cause)]
    Failed(TokenError),
}

impl ClaimsView {
    /// Masks what identifies a person and keeps the rest.
    pub fn new(mut claims: Value) -> Self {
        redact::claims(&mut claims);
        Self(Arc::new(claims))
    }

    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl TokenState {
    /// As it stands in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Fetching => "fetching",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::OnDemand => "on-demand",
        }
    }
}

fn as_timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*time))
}

fn as_optional_timestamp<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_timestamp(time, serializer),
        None => serializer.serialize_none(),
    }
}
