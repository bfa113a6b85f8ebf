//! What the admin listener shows, read from the state in force.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::admin::{
    BoxFuture, ClaimsView, ClientStatus, ConfigStatus, Readiness, RefreshError, RouteStatus, ServiceStatus,
    Source, StatusSnapshot, TokenError, TokenState, TokenStatus,
};
use crate::config::Listen;
use crate::oauth::{self, Language, TokenSource};
use crate::state::{Live, RouteState, State, Surroundings};

/// See [`Source`].
pub(super) struct StatusSource {
    live: Arc<Live>,
    surroundings: Arc<Surroundings>,
    started_at: SystemTime,
}

impl StatusSource {
    pub(super) fn new(live: Arc<Live>, surroundings: Arc<Surroundings>) -> Self {
        let started_at = surroundings.clock.wall();
        Self { live, surroundings, started_at }
    }

    fn url(&self) -> String {
        super::url(&self.surroundings.listen, self.surroundings.inbound_tls).unwrap_or_else(|| {
            match &self.surroundings.listen {
                Listen::Unix(path) => format!("unix:{}", path.display()),
                Listen::Tcp(address) => address.to_string(),
            }
        })
    }

    fn clients(&self, state: &State) -> Vec<ClientStatus> {
        let now = self.surroundings.clock.wall();
        let client = |client: &Arc<crate::config::Client>| {
            let key = state.keys.get(&client.name);
            let expires_at = key.and_then(|key| key.certificate()).map(|certificate| certificate.not_after);
            let clock_offset = state
                .all_routes()
                .find(|route| route.config.client.name == client.name)
                .and_then(|route| route.identities.client().skew_seconds());
            let mut warnings: Vec<String> = key
                .map(|key| key.warnings(now).iter().map(ToString::to_string).collect())
                .unwrap_or_default();
            warnings.extend(clock_offset.and_then(clock_warning));
            ClientStatus {
                name: client.name.clone(),
                client_id: client.client_id.clone(),
                issuer: client.issuer.clone(),
                certificate_expires_at: expires_at,
                certificate_expires_in: expires_at.map(|at| seconds_until(at, now)),
                clock_offset,
                warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
            }
        };
        state.config.clients.values().map(client).collect()
    }
}

impl Source for StatusSource {
    fn status(&self) -> StatusSnapshot {
        let state = self.live.load_full();
        let needs_restart = self.live.needs_restart();
        StatusSnapshot {
            service: ServiceStatus {
                version: env!("CARGO_PKG_VERSION"),
                started_at: self.started_at,
                url: self.url(),
                password_required: state.config.inbound.password.is_some(),
            },
            clients: self.clients(&state),
            routes: state.all_routes().map(|route| route_status(route)).collect(),
            tokens: state.all_routes().map(|route| self.token_status(route)).collect(),
            config: ConfigStatus {
                loaded_at: state.loaded_at,
                error: self.live.error().map(|error| (*error).clone()),
                needs_restart: !needs_restart.is_empty(),
                restart_for: (*needs_restart).clone(),
            },
        }
    }

    fn readiness(&self) -> Readiness {
        let state = self.live.load_full();
        let reasons: Vec<String> = state
            .all_routes()
            .filter_map(|route| Some((route, route.identities.fixed()?)))
            .filter(|(_, source)| !source.is_ready())
            .map(|(route, source)| format!("{}: {}", route.config.name, why_not(source)))
            .collect();
        Readiness { ready: reasons.is_empty(), reasons }
    }

    fn refresh<'a>(
        &'a self,
        client: &'a str,
        route: &'a str,
    ) -> BoxFuture<'a, Result<TokenStatus, RefreshError>> {
        Box::pin(async move {
            let state = self.live.load_full();
            let named = |candidate: &&Arc<RouteState>| {
                candidate.config.name == route && candidate.config.client.name == client
            };
            let route = state.all_routes().find(named).ok_or(RefreshError::Unknown)?;
            let source = route.identities.fixed().ok_or(RefreshError::Unknown)?;
            match source.refresh().await {
                Ok(_) => Ok(self.token_status(route)),
                Err(failure) => Err(RefreshError::Failed(token_error(&failure.error))),
            }
        })
    }
}

impl StatusSource {
    fn token_status(&self, route: &RouteState) -> TokenStatus {
        let base = TokenStatus {
            client: route.config.client.name.clone(),
            route: route.config.name.clone(),
            scopes: route.config.scopes.clone(),
            state: TokenState::OnDemand,
            expires_at: None,
            expires_in: None,
            claims: None,
            error: None,
        };
        let Some(source) = route.identities.fixed() else { return base };
        let status = source.status();
        let now = self.surroundings.clock.wall();
        TokenStatus {
            state: match status.state {
                oauth::TokenState::Live | oauth::TokenState::RefreshFailing => TokenState::Live,
                oauth::TokenState::Idle | oauth::TokenState::Fetching => TokenState::Fetching,
                oauth::TokenState::Waiting => TokenState::Unavailable,
                oauth::TokenState::Refused => TokenState::Refused,
                oauth::TokenState::Expired => TokenState::Expired,
            },
            expires_in: status
                .expires_in
                .map(whole_seconds)
                .or_else(|| status.expires_at.map(|at| seconds_until(at, now))),
            expires_at: status.expires_at,
            claims: status.claims.map(ClaimsView::new),
            error: status.error.map(|error| token_error(&error)),
            ..base
        }
    }
}

fn route_status(route: &RouteState) -> RouteStatus {
    let config = &route.config;
    RouteStatus {
        name: config.name.clone(),
        path: config.path.to_string(),
        upstream: config.upstream.to_string(),
        client: config.client.name.clone(),
        methods: config.methods.as_ref().map(|methods| methods.iter().map(ToString::to_string).collect()),
        host: config.host.as_ref().map(ToString::to_string),
        access: config.access.name(),
    }
}

fn token_error(error: &oauth::TokenError) -> TokenError {
    TokenError {
        code: error.code().map(str::to_owned),
        cause: error.cause(Language::English),
        fix: Some(error.fix(Language::English).to_owned()).filter(|fix| !fix.is_empty()),
    }
}

fn why_not(source: &TokenSource) -> String {
    let status = source.status();
    match status.error {
        Some(error) => {
            let code = error.code().map(|code| format!("{code}: ")).unwrap_or_default();
            format!("{code}{error}: {}", error.fix(Language::English))
        }
        None if status.state == oauth::TokenState::Expired => "the token has run out".to_owned(),
        None => "the first token is being fetched".to_owned(),
    }
}

/// What to say where the clocks differ by more than Maskinporten takes.
fn clock_warning(offset: i64) -> Option<String> {
    const TOLERATED: u64 = 10;
    let by = offset.unsigned_abs();
    let side = if offset > 0 { "behind" } else { "ahead of" };
    (by > TOLERATED).then(|| {
        format!(
            "this machine's clock is {by} s {side} Maskinporten's; grants are corrected for it, but set the clock (NTP)"
        )
    })
}

/// Negative for a time that is past.
fn seconds_until(at: SystemTime, now: SystemTime) -> i64 {
    match at.duration_since(now) {
        Ok(left) => whole_seconds(left),
        Err(past) => -whole_seconds(past.duration()),
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
