//! [`State`]: everything a request needs, immutable; and [`Live`], the one in force.
//!
//! A state is built from a configuration and, on reload, from the state before it: what did not
//! change (token sources by identity, the way to the upstreams) is taken along, so a reload drops
//! no token that still serves. Building opens keys and reads files; it never serves a request.

mod identity;
mod keys;
mod live;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ::http::HeaderMap;

use crate::authority::Authority;
use crate::ca::{self, Ca, CaError, Leaves, RoutedNames};
use crate::clock::Clock;
use crate::config::{Config, Listen, Route, SecretSourceError};
use crate::guard::{Kind, Policy};
use crate::http::via::Via;
use crate::keys::{KeyError, SigningKey};
use crate::net::{self, ClientTls, TlsError};
use crate::oauth::{Authorization, Failure, TokenHttp, TokenSource, TokenSources};
use crate::routing::{ForwardTable, Pattern, RouteTable};
use crate::telemetry::{RouteId, Telemetry};
use crate::upstream::{Connector, Origin};

pub use self::identity::{ClaimError, Identities};
pub use self::keys::load as load_key;
pub use self::live::Live;

/// What lives as long as the process: states come and go around it.
#[derive(Debug)]
pub struct Surroundings {
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub sources: Arc<TokenSources>,
    /// Where the listeners are bound.
    pub listen: Listen,
    pub admin: Option<Listen>,
    /// Whether the proxy's own listener speaks TLS.
    pub inbound_tls: bool,
    pub via: Via,
}

/// See the [module](self).
#[derive(Debug)]
pub struct State {
    pub config: Arc<Config>,
    /// Who may use the proxy.
    pub guard: Policy,
    /// Who may use the admin listener.
    pub admin_guard: Policy,
    pub routes: RouteTable<Arc<RouteState>>,
    /// The same routes by their upstreams, for requests that name those.
    pub forward: ForwardTable<Arc<RouteState>>,
    pub connector: Arc<Connector>,
    /// `None` where `[forward] intercept` is off.
    pub interception: Option<Interception>,
    /// The key of each client, by the client's name.
    pub keys: BTreeMap<String, SigningKey>,
    pub loaded_at: SystemTime,
    /// What a person should know: of the configuration, the keys and the CA.
    pub warnings: Vec<String>,
    tls: Tls,
}

/// A route with all that serving it takes.
#[derive(Debug)]
pub struct RouteState {
    pub config: Arc<Route>,
    pub origin: Origin,
    pub identities: Identities,
    pub id: RouteId,
}

/// The local CA at work.
#[derive(Debug)]
pub struct Interception {
    pub leaves: Leaves,
}

/// Trust, with the file content that it was made of.
#[derive(Clone, Debug)]
struct Tls {
    ca_file: Option<(PathBuf, Vec<u8>)>,
    client: ClientTls,
}

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the key of client `{client}` cannot be used")]
    Key { client: String, source: KeyError },
    #[error("the {what} cannot be read")]
    Secret { what: String, source: SecretSourceError },
    #[error("the inbound password is empty, and `{listener}` ({address}) is reachable by other machines")]
    NoPassword { listener: &'static str, address: Listen },
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    #[error("requests to token endpoints cannot be set up")]
    TokenHttp(#[from] crate::oauth::transport::TransportError),
    #[error("`[forward] intercept` is on, and there is no local CA that could be used")]
    Ca { source: CaError },
}

impl BuildError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Key { source, .. } => source.hint(),
            Self::Secret { source, .. } => source.hint(),
            Self::NoPassword { .. } => {
                Some("give `[inbound] password` a value, or listen on 127.0.0.1".to_owned())
            }
            Self::Tls(_) | Self::TokenHttp(_) => None,
            Self::Ca { source } => source.hint().or_else(|| {
                Some("make one with `maskinporten-proxy ca init`, and let your clients trust it".to_owned())
            }),
        }
    }
}

impl State {
    /// Opens everything that `config` names. Blocks on files and on keystores' key derivation;
    /// `previous` gives what has not changed.
    ///
    /// # Errors
    ///
    /// What cannot be put in force; the previous state is untouched then.
    pub fn build(
        config: Arc<Config>,
        surroundings: &Surroundings,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let mut warnings = config.warnings.clone();
        let tls = Tls::load(&config, previous)?;
        let keys = keys::load_all(&config, &surroundings.clock, &mut warnings)?;
        let password = keys::inbound_password(&config)?;
        let interception = Interception::load(&config, &mut warnings)?;
        let connector = connector(&config, &tls, surroundings, previous);

        let http_changed = previous.is_none_or(|previous| {
            previous.config.upstream != config.upstream || !previous.tls.is_same(&tls)
        });
        if http_changed {
            let client_tls = (*tls.client.h2_or_http1).clone();
            surroundings.sources.replace_http(TokenHttp::new(client_tls, &config.upstream)?);
        }

        let routes: Vec<Arc<RouteState>> = config
            .routes
            .iter()
            .map(|route| {
                Arc::new(RouteState {
                    origin: Origin::new(&route.upstream),
                    identities: Identities::new(route, &keys, &surroundings.sources),
                    id: surroundings.telemetry.metrics.route(&route.name),
                    config: Arc::clone(route),
                })
            })
            .collect();
        let table = RouteTable::new(routes.iter().map(|route| (route.pattern(), Arc::clone(route))));
        let forward = ForwardTable::new(routes.iter().map(|route| {
            (route.config.upstream.clone(), route.config.methods.clone(), Arc::clone(route))
        }));

        Ok(Self {
            guard: Policy::new(Kind::Proxy, &config, &surroundings.listen, surroundings.inbound_tls, password.clone()),
            admin_guard: Policy::new(
                Kind::Admin,
                &config,
                surroundings.admin.as_ref().unwrap_or(&surroundings.listen),
                false,
                password,
            ),
            routes: table,
            forward,
            connector,
            interception,
            keys,
            loaded_at: surroundings.clock.wall(),
            warnings,
            tls,
            config,
        })
    }

    /// Every route, in the order of the configuration.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<RouteState>> {
        self.routes.targets()
    }

    /// The sources that are kept fresh: those of the routes whose claims are fixed.
    pub fn fixed_sources(&self) -> Vec<Arc<TokenSource>> {
        let mut sources: Vec<Arc<TokenSource>> = Vec::new();
        for source in self.all_routes().filter_map(|route| route.identities.fixed()) {
            if !sources.iter().any(|known| Arc::ptr_eq(known, source)) {
                sources.push(Arc::clone(source));
            }
        }
        sources
    }

    /// Whether requests to `authority` in forward mode are a route's.
    pub fn is_routed(&self, authority: &Authority) -> bool {
        self.forward.is_routed(authority)
    }
}

impl RouteState {
    fn pattern(&self) -> Pattern {
        Pattern {
            host: self.config.host.clone(),
            path: self.config.path.clone(),
            methods: self.config.methods.clone(),
        }
    }

    /// The source of the token for a request with these headers.
    pub fn source(&self, headers: &HeaderMap) -> Result<Arc<TokenSource>, ClaimError> {
        self.identities.source(headers)
    }
}

impl Interception {
    fn load(config: &Config, warnings: &mut Vec<String>) -> Result<Option<Self>, BuildError> {
        if !config.forward.intercept {
            return Ok(None);
        }
        let ca = Ca::load(&ca::default_dir(&config.base_dir)).map_err(|source| BuildError::Ca { source })?;
        warnings.extend(ca.warnings(SystemTime::now()));
        let missing = ca.missing(&RoutedNames::of(config));
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            warnings.push(format!(
                "the local CA cannot vouch for {}: requests to it through a tunnel answer 403 until `maskinporten-proxy ca init --force` makes a new CA and clients trust that",
                names.join(", ")
            ));
        }
        Ok(Some(Self { leaves: Leaves::new(Arc::new(ca), Leaves::CAPACITY) }))
    }
}

impl Tls {
    fn load(config: &Config, previous: Option<&State>) -> Result<Self, BuildError> {
        let path = config.upstream.ca_file.as_ref();
        let ca_file = path.map(|path| (path.clone(), std::fs::read(path).unwrap_or_default()));
        if let Some(previous) = previous.filter(|previous| previous.tls.ca_file == ca_file) {
            return Ok(previous.tls.clone());
        }
        Ok(Self { client: net::client_tls(path.map(PathBuf::as_path))?, ca_file })
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client.h2_or_http1, &other.client.h2_or_http1)
    }
}

/// The connector in force where nothing about it has changed: pooled connections stay with it.
fn connector(
    config: &Config,
    tls: &Tls,
    surroundings: &Surroundings,
    previous: Option<&State>,
) -> Arc<Connector> {
    if let Some(previous) = previous
        && previous.config.upstream == config.upstream
        && previous.tls.is_same(tls)
    {
        return Arc::clone(&previous.connector);
    }
    let own = [Some(&surroundings.listen), surroundings.admin.as_ref()];
    Arc::new(Connector::new(&config.upstream, tls.client.clone(), own.into_iter().flatten()))
}

/// What a request gets from a token source.
pub type Authorized = Result<Authorization, Failure>;

#[cfg(test)]
mod tests;
