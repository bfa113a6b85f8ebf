//! The running program: listeners, worker threads, reload and drain.
//!
//! [`bind`] opens everything and returns with the addresses known; [`Bound::run`] serves until it
//! is told to stop. Whoever calls decides about signals, output and exit codes.

mod admin_source;
mod observer;
mod reload;
mod watch;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{ConfigError, Listen, Loaded};
use crate::http::via::Via;
use crate::net::{
    self, CONNECTIONS_WITHIN, Drain, DrainWatch, Listener, Outcome, Patience, TUNNELS_WITHIN, TlsError,
};
use crate::oauth::{Setup, TokenSources, token_sources};
use crate::state::{BuildError, Live, State, Surroundings, WayOut};
use crate::telemetry::{AccessLog, Collector, Recorder, Telemetry};

use self::admin_source::StatusSource;
use self::reload::{Boot, Reloader};
use self::worker::Workers;

/// Loads the configuration, at start and on every reload.
pub type Load = Arc<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;

/// What differs between the program and a test of it.
#[derive(Clone, Debug)]
pub struct Options {
    pub clock: Clock,
    pub access_log: AccessLog,
    /// How often the watched files are looked at.
    pub watch_interval: Duration,
    /// How long clients and upstreams may take over heads and bodies.
    pub patience: Patience,
    /// Whether SIGHUP asks for a reload; where it does not, it is left as it was found.
    pub reload_on_hangup: bool,
}

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("`{key}` cannot be bound to {address}")]
    Bind { key: &'static str, address: Listen, source: io::Error },
    #[error("`[inbound.tls]` cannot be used")]
    InboundTls(#[source] TlsError),
    #[error("a worker thread cannot be started")]
    Worker(#[source] io::Error),
    #[error("every worker thread has died; the log says of what")]
    WorkersDied,
}

/// A program that is bound to its addresses and not serving yet.
pub struct Bound {
    listener: Listener,
    admin: Option<Listener>,
    tls: Option<TlsAcceptor>,
    live: Arc<Live>,
    surroundings: Arc<Surroundings>,
    recorders: Vec<Arc<Recorder>>,
    collector: Collector,
    reloader: Reloader,
}

/// Where the program can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub proxy: Listen,
    pub admin: Option<Listen>,
    /// Whether the proxy's listener speaks TLS.
    pub tls: bool,
}

/// A handle on a running program.
#[derive(Clone, Debug)]
pub struct Running {
    pub addresses: Addresses,
    pub live: Arc<Live>,
    pub surroundings: Arc<Surroundings>,
}

/// Opens keys and listeners, and begins to fetch tokens. To be called on the control runtime,
/// where token requests run from then on.
///
/// # Errors
///
/// What is wrong with the configuration, a key, or an address.
pub async fn bind(load: Load, options: Options) -> Result<Bound, StartError> {
    let loaded = load()?;
    let config = Arc::new(loaded.config);
    let boot = Boot::of(&config, &options);
    let listener = listen("listen", &config.listen)?;
    let admin = config.admin.as_ref().map(|address| listen("admin", address)).transpose()?;
    let tls = config.inbound.tls.as_ref().map(net::server_tls).transpose().map_err(StartError::InboundTls)?;

    let (telemetry, recorders, collector) = Telemetry::new(config.threads.get(), options.access_log.clone());
    let collector = if admin.is_some() { collector } else { collector.without_page() };
    let way_out = WayOut::open(&config)?;
    let sources = TokenSources::new(Setup {
        runtime: Handle::current(),
        clock: options.clock.clone(),
        http: way_out.token_http(),
        observer: Arc::new(observer::FetchMetrics::new(Arc::clone(&telemetry.metrics))),
        capacity: token_sources::CAPACITY,
    });
    let surroundings = Arc::new(Surroundings {
        clock: options.clock.clone(),
        telemetry,
        sources,
        listen: listener.local_addr().map_err(|source| bind_error("listen", &config.listen, source))?,
        admin: admin
            .as_ref()
            .map(Listener::local_addr)
            .transpose()
            .map_err(|source| bind_error("admin", &config.listen, source))?,
        inbound_tls: tls.is_some(),
        inbound_client_ca: config.inbound.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        via: Via::for_this_process(),
        patience: options.patience,
    });
    let state = State::build(Arc::clone(&config), &surroundings, Some(&way_out))?;
    surroundings.sources.reconcile(&state.fixed_sources());
    for warning in &state.warnings {
        tracing::warn!("{warning}");
    }
    let live = Arc::new(Live::new(state));
    let reloader = Reloader::new(load, boot, Arc::clone(&live), Arc::clone(&surroundings), &options);
    Ok(Bound {
        listener,
        admin,
        tls: tls.map(TlsAcceptor::from),
        live,
        surroundings,
        recorders,
        collector,
        reloader,
    })
}

impl Bound {
    /// A handle that stays good while the program runs.
    pub fn running(&self) -> Running {
        Running {
            addresses: Addresses {
                proxy: self.surroundings.listen.clone(),
                admin: self.surroundings.admin.clone(),
                tls: self.surroundings.inbound_tls,
            },
            live: Arc::clone(&self.live),
            surroundings: Arc::clone(&self.surroundings),
        }
    }

    /// Serves until `stop` is ready; then accepts no more, and gives what is in flight its time.
    /// Ends at once when `abort` is ready.
    ///
    /// # Errors
    ///
    /// A worker thread that cannot be started, or that none is left.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> Result<Outcome, StartError> {
        let (drain, watch) = Drain::new();
        let workers = Workers::start(&self.live, &self.surroundings, &self.recorders, self.tls, &watch)
            .map_err(StartError::Worker)?;
        let (written, stopped) = tokio::sync::oneshot::channel::<()>();
        let collector = tokio::spawn(self.collector.run(async {
            // The sender's end, however it comes, is the sign.
            let _ = stopped.await;
        }));
        let reloads = tokio::spawn(self.reloader.run());

        let local = LocalSet::new();
        if let Some(admin) = self.admin {
            let source = StatusSource::new(Arc::clone(&self.live), Arc::clone(&self.surroundings));
            let page = Admin::new(Arc::new(source), self.surroundings.telemetry.clone());
            local.spawn_local(serve_admin(admin, page, Arc::clone(&self.live), watch.clone()));
        }
        let serve = async {
            let asked = tokio::select! {
                () = workers.accept(self.listener) => false,
                () = stop => true,
            };
            reloads.abort();
            if !asked {
                return Err(StartError::WorkersDied);
            }
            drain.start();
            tokio::select! {
                outcome = drain.finish(CONNECTIONS_WITHIN, TUNNELS_WITHIN) => Ok(outcome),
                () = abort => {
                    let (connections, tunnels) = drain.open();
                    Ok(Outcome::Cut { connections, tunnels })
                }
            }
        };
        let outcome = local.run_until(serve).await;
        workers.stop();
        drop((local, written));
        // What the workers recorded last is still to be written.
        let _ = tokio::time::timeout(Duration::from_secs(1), collector).await;
        outcome
    }
}

impl Running {
    /// Waits until every token that can be fetched ahead is held, or one of them is refused.
    ///
    /// # Errors
    ///
    /// The first reason why a token is not to be had.
    pub async fn tokens(&self) -> Result<(), crate::oauth::Failure> {
        for source in self.live.load_full().fixed_sources() {
            source.authorization().await?;
        }
        Ok(())
    }
}

impl Addresses {
    /// The proxy's URL, as a client on this machine writes it. `None` for a Unix socket.
    pub fn proxy_url(&self) -> Option<String> {
        url(&self.proxy, self.tls)
    }

    /// The status page's URL.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().and_then(|admin| url(admin, false))
    }
}

/// An address that is bound to every interface is reached over loopback.
fn url(listen: &Listen, tls: bool) -> Option<String> {
    let Listen::Tcp(mut address) = *listen else { return None };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(format!("{}://{address}", if tls { "https" } else { "http" }))
}

fn listen(key: &'static str, address: &Listen) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|source| bind_error(key, address, source))
}

fn bind_error(key: &'static str, address: &Listen, source: io::Error) -> StartError {
    StartError::Bind { key, address: address.clone(), source }
}

impl StartError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => Some(error.hint().to_owned()),
            Self::Build(error) => error.hint(),
            Self::Bind { key, source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => Some(format!(
                    "stop it (another copy of this program?), or set `{key}` to another address; port 0 picks a free one"
                )),
                io::ErrorKind::PermissionDenied => {
                    Some("ports below 1024 are for the administrator; use a higher one".to_owned())
                }
                io::ErrorKind::AddrNotAvailable => {
                    Some("this machine has no such address; 127.0.0.1 is always there".to_owned())
                }
                _ => None,
            },
            Self::InboundTls(_) | Self::Worker(_) => None,
            Self::WorkersDied => Some("this is a bug; please report it with the log".to_owned()),
        }
    }

    /// Whether the configuration is at fault, and not the moment.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::Bind { .. } | Self::Worker(_) | Self::WorkersDied)
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("listen", &self.surroundings.listen).finish_non_exhaustive()
    }
}

async fn serve_admin(listener: Listener, page: Admin, live: Arc<Live>, watch: DrainWatch) {
    worker::serve_admin(listener, page, live, watch).await;
}
