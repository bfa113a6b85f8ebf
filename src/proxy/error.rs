//! From the errors of the floors below to [`Problem`]s: what a client is told, in one place, out of
//! the way of what succeeds.

use std::time::Duration;

use ::http::Method;

use super::Problem;
use crate::authority::Authority;
use crate::config::Route;
use crate::http::framing::FramingError;
use crate::http::path::{Climb, Unjoinable};
use crate::http::problem::{self, MaskinportenError, ProblemKind};
use crate::net::Refusal;
use crate::oauth::{Failure, Language, TokenError};
use crate::state::{ClaimError, State};
use crate::telemetry::Failed;
use crate::upstream::{ClientFault, ProxyProblem, TlsProblem, UpstreamError};

/// Bytes that were no request.
#[cold]
#[inline(never)]
pub(super) fn of_refusal(refusal: Refusal) -> Problem {
    let kind = match refusal {
        Refusal::TargetTooLong => ProblemKind::UriTooLong,
        Refusal::HeadTooLarge => ProblemKind::HeadTooLarge,
        Refusal::Timeout => ProblemKind::RequestTimeout,
        _ => ProblemKind::Framing,
    };
    Problem::new(kind, refusal.to_string())
}

#[cold]
#[inline(never)]
pub(super) fn of_climb(climb: Climb) -> Problem {
    Problem::new(ProblemKind::PathClimbs, climb.to_string())
}

#[cold]
#[inline(never)]
pub(super) fn of_join(error: Unjoinable) -> Problem {
    Problem::new(ProblemKind::UriTooLong, error.to_string())
}

#[cold]
#[inline(never)]
pub(super) fn of_framing(error: FramingError) -> Problem {
    Problem::new(ProblemKind::Framing, error.to_string())
}

#[cold]
#[inline(never)]
pub(super) fn of_claim(error: ClaimError) -> Problem {
    let kind = match error {
        ClaimError::NotAllowed { .. } => ProblemKind::ClaimNotAllowed,
        ClaimError::Header { .. } | ClaimError::Form { .. } => ProblemKind::ClaimHeader,
    };
    Problem::new(kind, error.to_string())
}

/// 502 where a person must mend something, 503 where it passes.
#[cold]
#[inline(never)]
pub(super) fn of_token(failure: &Failure) -> Problem {
    let error = &failure.error;
    let fix = error.fix(Language::English);
    let detail = if fix.is_empty() { error.to_string() } else { format!("{error}: {fix}") };
    let problem = if matches!(**error, TokenError::ExchangeRefused { .. }) {
        Problem::new(ProblemKind::ExchangeRefused, detail)
    } else if failure.is_permanent() {
        Problem::new(ProblemKind::TokenRefused, detail)
    } else {
        let wait = failure.retry_after.max(Duration::from_secs(1));
        Problem::new(ProblemKind::TokenUnavailable, detail).with_retry_after(wait)
    };
    match error.maskinporten() {
        Some(refusal) => problem.with_maskinporten(MaskinportenError {
            error: refusal.error.clone(),
            error_description: refusal.error_description.clone(),
            error_uri: refusal.error_uri.clone(),
            code: refusal.code().map(str::to_owned),
            cause: Some(error.cause(Language::English)),
            fix: Some(fix.to_owned()),
        }),
        None => problem,
    }
}

#[cold]
#[inline(never)]
pub(super) fn of_upstream(error: UpstreamError) -> Problem {
    let kind = match &error {
        UpstreamError::Dns { .. } | UpstreamError::NoAddress { .. } => ProblemKind::UpstreamDns,
        UpstreamError::Forbidden { .. } => ProblemKind::DestinationProhibited,
        UpstreamError::Connect { source, .. } => match source.kind() {
            std::io::ErrorKind::ConnectionRefused => ProblemKind::UpstreamRefused,
            _ => ProblemKind::UpstreamUnreachable,
        },
        UpstreamError::ConnectTimeout { .. } => ProblemKind::UpstreamConnectTimeout,
        UpstreamError::Tls { problem, .. } => match problem {
            TlsProblem::Version | TlsProblem::Refused(_) | TlsProblem::NotTls | TlsProblem::Other(_) => {
                ProblemKind::UpstreamTls
            }
            _ => ProblemKind::UpstreamCertificate,
        },
        UpstreamError::Proxy { problem: ProxyProblem::Credentials, .. } | UpstreamError::Proxy { .. } => {
            ProblemKind::OutboundProxy
        }
        UpstreamError::Closed { .. } => ProblemKind::UpstreamClosed,
        UpstreamError::Malformed { .. } => ProblemKind::UpstreamProtocol,
        UpstreamError::UnexpectedUpgrade { .. } => ProblemKind::UpgradeFailed,
        UpstreamError::ResponseTimeout { .. } => ProblemKind::UpstreamTimeout,
        UpstreamError::Client(ClientFault::Stalled) => ProblemKind::RequestTimeout,
        UpstreamError::Client(_) | UpstreamError::Request(_) => ProblemKind::MalformedRequest,
    };
    let hint = error.hint();
    let mut detail = error.to_string();
    // The causes say which address, which certificate, which alert.
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !detail.contains(&text) {
            detail.push_str(": ");
            detail.push_str(&text);
        }
        cause = error.source();
    }
    if let Some(hint) = hint {
        detail.push_str("; ");
        detail.push_str(hint);
    }
    Problem::new(kind, detail)
}

#[cold]
#[inline(never)]
pub(super) fn read_only(route: &Route, method: &Method) -> Problem {
    Problem::new(
        ProblemKind::ReadOnly,
        format!(
            "the route `{}` is read-only, and {method} may write; set access = \"read-write\" on it to allow that{}",
            route.name,
            match route.client.environment {
                Some(crate::config::Environment::Prod) =>
                    " (routes to prod are read-only unless they say otherwise)",
                _ => "",
            }
        ),
    )
}

#[cold]
#[inline(never)]
pub(super) fn no_route(state: &State, authority: Option<&Authority>, path: &str) -> Problem {
    let place = match authority {
        Some(authority) => format!("no route's upstream covers {path} on {authority}"),
        None => format!("no route covers the path {path}"),
    };
    let mut paths: Vec<&str> = match authority {
        Some(_) => Vec::new(),
        None => state.config.routes.iter().map(|route| route.path.as_str()).collect(),
    };
    paths.dedup();
    // Enough to see a typo by; a gateway's whole table is nobody's business.
    let listed = if paths.is_empty() || paths.len() > 8 {
        String::new()
    } else {
        format!("; there are routes for {}", paths.join(", "))
    };
    Problem::new(ProblemKind::NoRoute, format!("{place}{listed}"))
}

#[cold]
#[inline(never)]
pub(super) fn looping(route: &Route) -> Problem {
    Problem::new(
        ProblemKind::Loop,
        format!(
            "the request has passed this proxy before: the upstream of route `{}` leads back to it",
            route.name
        ),
    )
}

/// Who failed, for the record of the exchange.
pub(super) fn failed(kind: ProblemKind) -> Failed {
    match kind.failed() {
        problem::Failed::Client => Failed::Client,
        problem::Failed::Guard => Failed::Guard,
        problem::Failed::Token => Failed::Token,
        problem::Failed::Upstream => Failed::Upstream,
    }
}
