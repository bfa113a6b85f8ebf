//! [`State`]: everything a request needs, immutable; and [`Live`], the one in force.
//!
//! A state is built from a configuration and, on reload, from the state before it: what did not
//! change (token sources by identity, the way to the upstreams) is taken along, so a reload drops
//! no token that still serves. Building opens keys and reads files; it never serves a request.

mod identity;
mod keys;
mod live;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use crate::authority::Authority;
use crate::ca::{self, Ca, CaError, Leaves, RoutedNames};
use crate::clock::Clock;
use crate::config::{Config, Listen, Route, SecretSourceError, UpstreamSettings};
use crate::guard::{Policy, Service, Settings};
use crate::http::via::Via;
use crate::keys::{KeyError, SigningKey};
use crate::message::Fields;
use crate::net::Patience;
use crate::oauth::{TokenHttp, TokenSource, TokenSources};
use crate::routing::{ForwardTable, Pattern, RouteTable};
use crate::telemetry::{RouteId, Telemetry};
use crate::upstream::{Connector, ConnectorError, Origin, UnusableName};

pub use self::identity::{ClaimError, Identities, Template};
pub use self::keys::load as load_key;
pub use self::live::{Live, Remembered};

/// Leaves that are held at once; each costs a few kilobytes.
const LEAVES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

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
    /// Whether it asks its clients for certificates.
    pub inbound_client_ca: bool,
    pub via: Via,
    /// How long clients and upstreams may take.
    pub patience: Patience,
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
    in_order: Vec<Arc<RouteState>>,
    /// The same routes by their upstreams, for requests that name those.
    pub forward: ForwardTable<Arc<RouteState>>,
    pub way_out: WayOut,
    /// `None` where `[forward] intercept` is off.
    pub interception: Option<Interception>,
    /// The key of each client, by the client's name.
    pub keys: BTreeMap<String, SigningKey>,
    pub loaded_at: SystemTime,
    /// What a person should know: of the configuration, the keys and the CA.
    pub warnings: Vec<String>,
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

/// How connections to the outside are made, and what that depends on.
#[derive(Clone, Debug)]
pub struct WayOut {
    pub connector: Connector,
    settings: UpstreamSettings,
    /// The content of the CA file.
    ca_file: Option<Vec<u8>>,
    token_http: TokenHttp,
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
    #[error(
        "`{listener}` is bound to {address}, which other machines can reach, and would be left without a password or client certificates until the restart"
    )]
    Unguarded { listener: &'static str, address: Listen },
    #[error("the way to the upstreams cannot be set up")]
    Connector(#[from] ConnectorError),
    #[error("the upstream cannot be used")]
    Upstream(#[from] UnusableName),
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
            Self::Secret { source, .. } => Some(source.hint().to_owned()),
            Self::Upstream(_) => None,
            Self::NoPassword { .. } => {
                Some("give `[inbound] password` a value, or listen on 127.0.0.1".to_owned())
            }
            Self::Unguarded { .. } => Some("restart it, or keep `[inbound] password` until then".to_owned()),
            Self::Connector(ConnectorError::Tls(_)) => Some(
                "`[upstream] ca_file` names a file in PEM with the authorities to trust beside the platform's; its path \
                 is relative to the configuration file"
                    .to_owned(),
            ),
            Self::Connector(ConnectorError::Proxy(_)) | Self::TokenHttp(_) => None,
            Self::Ca { source } => source.hint().map(str::to_owned),
        }
    }
}

impl State {
    /// Opens everything that `config` names. Blocks on files and on keystores' key derivation.
    /// `way_out` is the one in force, which stays, with its connections, where it still fits.
    ///
    /// # Errors
    ///
    /// What cannot be put in force; the previous state is untouched then.
    pub fn build(
        config: Arc<Config>,
        surroundings: &Surroundings,
        way_out: Option<&WayOut>,
    ) -> Result<Self, BuildError> {
        let mut warnings = config.warnings.clone();
        let keys = keys::load_all(&config, &surroundings.clock, &mut warnings)?;
        let password = keys::inbound_password(&config)?;
        still_guarded(surroundings, password.is_some())?;
        let interception = Interception::load(&config, &surroundings.clock, &mut warnings)?;
        let way_out = match way_out.filter(|way_out| way_out.fits(&config)) {
            Some(unchanged) => unchanged.clone(),
            None => WayOut::open(&config)?,
        };

        let routes = config
            .routes
            .iter()
            .map(|route| {
                Ok(Arc::new(RouteState {
                    origin: Origin::new(route.upstream.scheme, &route.upstream.authority)?,
                    identities: Identities::new(route, &keys, &surroundings.sources),
                    id: surroundings.telemetry.metrics.route(&route.name),
                    config: Arc::clone(route),
                }))
            })
            .collect::<Result<Vec<_>, UnusableName>>()?;
        let table = RouteTable::new(routes.iter().map(|route| (route.pattern(), Arc::clone(route))));
        let forward =
            ForwardTable::new(routes.iter().map(|route| {
                (route.config.upstream.clone(), route.config.methods.clone(), Arc::clone(route))
            }));

        Ok(Self {
            guard: Policy::new(Settings {
                service: Service::Proxy { browsers: config.forward.browsers },
                listen: surroundings.listen.clone(),
                tls: surroundings.inbound_tls,
                allowed_hosts: config.inbound.allowed_hosts.clone(),
                allowed_origins: config.inbound.allowed_origins.clone(),
                password: password.clone(),
            }),
            admin_guard: Policy::new(Settings {
                service: Service::Admin,
                listen: surroundings.admin.as_ref().unwrap_or(&surroundings.listen).clone(),
                tls: false,
                allowed_hosts: config.inbound.allowed_hosts.clone(),
                allowed_origins: config.inbound.allowed_origins.clone(),
                password,
            }),
            routes: table,
            in_order: routes,
            forward,
            interception,
            keys,
            loaded_at: surroundings.clock.wall(),
            warnings,
            way_out,
            config,
        })
    }

    /// Every route, in the order of the configuration.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<RouteState>> {
        self.in_order.iter()
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
    pub fn source(&self, fields: &Fields) -> Result<Arc<TokenSource>, ClaimError> {
        self.identities.source(fields)
    }
}

impl Interception {
    fn load(config: &Config, clock: &Clock, warnings: &mut Vec<String>) -> Result<Option<Self>, BuildError> {
        if !config.forward.intercept {
            return Ok(None);
        }
        let ca = Ca::load(&ca::default_dir(&config.base_dir)).map_err(|source| BuildError::Ca { source })?;
        warnings.extend(ca.warnings(&RoutedNames::of(config), clock.wall()));
        Ok(Some(Self { leaves: Leaves::new(Arc::new(ca), LEAVES, clock.clone()) }))
    }
}

impl WayOut {
    /// Reads whom to trust, and which outbound proxy the environment names.
    ///
    /// # Errors
    ///
    /// The CA file, or a proxy variable, cannot be used, or no client can be made of the settings.
    pub fn open(config: &Config) -> Result<Self, BuildError> {
        let ca_file = ca_file(config);
        let connector =
            Connector::new(&config.upstream, |name| variable(name, |name| std::env::var(name).ok()))?;
        let token_http = TokenHttp::new((*connector.tls().h2_or_http1).clone(), &config.upstream)?;
        Ok(Self { connector, settings: config.upstream.clone(), ca_file, token_http })
    }

    /// The same way out, for token requests.
    pub fn token_http(&self) -> TokenHttp {
        self.token_http.clone()
    }

    fn fits(&self, config: &Config) -> bool {
        self.settings == config.upstream && self.ca_file == ca_file(config)
    }
}

/// The addresses that were bound at the start stay until the next one, whatever the configuration
/// says by now; so what guards them stays, too.
fn still_guarded(surroundings: &Surroundings, has_password: bool) -> Result<(), BuildError> {
    if has_password || surroundings.inbound_client_ca {
        return Ok(());
    }
    let listeners = [("listen", Some(&surroundings.listen)), ("admin", surroundings.admin.as_ref())];
    let exposed =
        listeners.into_iter().find_map(|(name, listen)| Some((name, listen.filter(|l| !l.is_local())?)));
    match exposed {
        Some((listener, address)) => Err(BuildError::Unguarded { listener, address: address.clone() }),
        None => Ok(()),
    }
}

/// A variable of the environment, unless it names as a proxy the one that a `run --proxy-env` around
/// this process set up for other clients: it would refuse our own requests to routed hosts.
fn variable(name: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    read(name).filter(|value| read("MASKINPORTEN_PROXY_URL").as_ref() != Some(value))
}

/// A file that cannot be read is told of when the connector reads it.
fn ca_file(config: &Config) -> Option<Vec<u8>> {
    config.upstream.ca_file.as_ref().map(|path| std::fs::read(path).unwrap_or_default())
}

#[cfg(test)]
mod tests;
