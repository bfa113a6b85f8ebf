//! The admin listener: health, metrics, the status page and its data.
//!
//! It reads what a [`Source`] tells of the state, and the telemetry; it changes nothing but one
//! thing, a token that is fetched anew on request. It does not decide who may ask: Host, Origin
//! and password are judged by the guard before a request comes here. It never shows a token, a
//! grant, a key, a password or a personal number.

mod body;
mod page;
mod respond;
mod status;

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;

use crate::http::problem::{MaskinportenError, Problem, ProblemKind};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{self, Expiry};

pub use body::AdminBody;
use page::Page;
use respond::Answer;
pub use status::{
    BoxFuture, ClaimsView, ClientStatus, ConfigStatus, Readiness, RefreshError, RouteStatus, ServiceStatus,
    Source, StatusSnapshot, TokenError, TokenState, TokenStatus,
};

/// What must stand in this header for a request that changes something. A web page of another
/// origin cannot set it without a CORS preflight, which is refused.
pub const GUARD_HEADER: &str = "x-maskinporten-proxy";

/// A token refresh names a client and a route; that needs no more.
const MAX_BODY: usize = 4 * 1024;

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the requests of the admin listener.
pub struct Admin {
    source: Arc<dyn Source>,
    telemetry: Telemetry,
    page: Page,
}

/// What there is to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Page,
    Healthz,
    Readyz,
    Metrics,
    Status,
    Requests,
    Events,
    Refresh,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    client: String,
    route: String,
}

impl Admin {
    pub fn new(source: Arc<dyn Source>, telemetry: Telemetry) -> Self {
        Self { source, telemetry, page: Page::new() }
    }

    /// Whether `path` stays open to probes where the listener asks for a password.
    pub fn is_probe(path: &str) -> bool {
        matches!(Resource::of(path), Some(Resource::Healthz | Resource::Readyz | Resource::Metrics))
    }

    /// Answers one request that the guard let through. It never fails: whatever is wrong with the
    /// request is a [`Problem`].
    pub async fn handle<B>(&self, request: Request<B>) -> Response<AdminBody>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let method = request.method().clone();
        match self.answer(request).await {
            Ok(answer) => answer.into_response(method == Method::HEAD, self.page.policy()),
            Err(problem) => self.refuse(problem, &method),
        }
    }

    /// Answers with a problem, the guard's or one of our own, and logs it.
    pub fn refuse(&self, problem: Problem, method: &Method) -> Response<AdminBody> {
        let id = uuid::Uuid::new_v4().simple();
        let status = problem.kind().status().as_u16();
        tracing::info!(request_id = %id, status, detail = problem.detail(), "a request to the admin listener failed");
        respond::of_problem(problem, id, method == Method::HEAD, self.page.policy())
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Answer, Problem>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let Some(resource) = Resource::of(request.uri().path()) else {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "the admin listener has /, /healthz, /readyz, /metrics, /api/status, /api/requests, \
                 /api/events and /api/tokens/refresh",
            ));
        };
        if !resource.allows(request.method()) {
            let methods = resource.methods();
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let detail = format!("this address takes {}", names.join(", "));
            return Err(Problem::new(ProblemKind::MethodNotAllowed, detail).with_allow(methods));
        }
        match resource {
            Resource::Page => {
                let html = self.page.render(&self.source.status(), &self.telemetry.recent.entries());
                Ok(Answer::html(html))
            }
            Resource::Healthz => Ok(Answer::text("ok\n")),
            Resource::Readyz => Ok(self.readyz()),
            Resource::Metrics => Ok(self.metrics()),
            Resource::Status => Ok(Answer::json(StatusCode::OK, &self.source.status())),
            Resource::Requests => Ok(Answer::json(StatusCode::OK, &self.telemetry.recent.entries())),
            Resource::Events => self.events(request.method()),
            Resource::Refresh => self.refresh(request).await,
        }
    }

    fn readyz(&self) -> Answer {
        let readiness = self.source.readiness();
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Answer::json(status, &readiness)
    }

    fn metrics(&self) -> Answer {
        let status = self.source.status();
        let tokens: Vec<_> = status
            .tokens
            .iter()
            .filter(|token| token.state != TokenState::OnDemand)
            .map(|token| Expiry {
                client: token.client.clone(),
                route: token.route.clone(),
                seconds: token.expires_in.unwrap_or(0) as f64,
            })
            .collect();
        let certificates: Vec<_> = status
            .clients
            .iter()
            .filter_map(|client| {
                let seconds = client.certificate_expires_in? as f64;
                Some(Expiry { client: client.name.clone(), route: String::new(), seconds })
            })
            .collect();
        Answer::metrics(self.telemetry.metrics.render(&tokens, &certificates), metrics::CONTENT_TYPE)
    }

    fn events(&self, method: &Method) -> Result<Answer, Problem> {
        if method == Method::HEAD {
            return Ok(Answer::event_stream(AdminBody::empty()));
        }
        match self.telemetry.recent.subscribe() {
            Ok(subscription) => Ok(Answer::event_stream(AdminBody::events(subscription))),
            Err(error) => Err(Problem::new(
                ProblemKind::TooManyStreams,
                format!("{error}; close a status page that is not looked at"),
            )),
        }
    }

    async fn refresh<B>(&self, request: Request<B>) -> Result<Answer, Problem>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        if !is_deliberate(request.headers()) {
            return Err(Problem::new(
                ProblemKind::HeaderRequired,
                "send the header X-Maskinporten-Proxy: 1, which a web page of another origin cannot",
            ));
        }
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Problem::new(ProblemKind::BodyTooLarge, "the body may have 4 KiB"));
            }
            Ok(Err(_)) => {
                return Err(Problem::new(ProblemKind::MalformedRequest, "the body broke off"));
            }
            Err(_) => {
                return Err(Problem::new(
                    ProblemKind::RequestTimeout,
                    "the body must arrive within 10 seconds",
                ));
            }
        };
        let Ok(asked) = serde_json::from_slice::<RefreshRequest>(&body.to_bytes()) else {
            return Err(Problem::new(
                ProblemKind::MalformedRequest,
                r#"the body must be JSON: {"client": "…", "route": "…"}, as in /api/status"#,
            ));
        };
        match self.source.refresh(&asked.client, &asked.route).await {
            Ok(token) => Ok(Answer::json(StatusCode::OK, &token)),
            Err(RefreshError::Unknown) => Err(Problem::new(
                ProblemKind::NoSuchToken,
                "no route of this name with this client has a token that is fetched ahead",
            )),
            Err(RefreshError::Failed(error)) => Err(of_token(error)),
        }
    }
}

/// A token that could not be fetched, with what to do about it.
fn of_token(error: TokenError) -> Problem {
    let TokenError { code, cause, fix } = error;
    let detail = cause.clone();
    let refusal = MaskinportenError { code, cause: Some(cause), fix, ..MaskinportenError::default() };
    Problem::new(ProblemKind::TokenRefused, detail).with_maskinporten(refusal)
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Resource {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Page,
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/api/status" => Self::Status,
            "/api/requests" => Self::Requests,
            "/api/events" => Self::Events,
            "/api/tokens/refresh" => Self::Refresh,
            _ => return None,
        })
    }

    fn methods(self) -> Vec<Method> {
        match self {
            Self::Refresh => vec![Method::POST],
            _ => vec![Method::GET, Method::HEAD],
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.methods().contains(method)
    }
}

fn is_deliberate(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(GUARD_HEADER).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value == "1")
}

#[cfg(test)]
mod tests;
