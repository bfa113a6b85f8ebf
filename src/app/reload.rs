//! The reload loop: a changed file or SIGHUP → load → build → in force, or reported and ignored.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::watch::Watch;
use super::{Load, Options};
use crate::ca;
use crate::config::Config;
use crate::state::{Live, State, Surroundings};

/// Replaces the state in force when the configuration or a file that it names changes.
pub(super) struct Reloader {
    load: Load,
    /// The configuration that the listeners were bound from.
    boot: Arc<Config>,
    live: Arc<Live>,
    surroundings: Arc<Surroundings>,
    interval: Duration,
    on_hangup: bool,
}

impl Reloader {
    pub(super) fn new(
        load: Load,
        boot: Arc<Config>,
        live: Arc<Live>,
        surroundings: Arc<Surroundings>,
        options: &Options,
    ) -> Self {
        let (interval, on_hangup) = (options.watch_interval, options.reload_on_hangup);
        Self { load, boot, live, surroundings, interval, on_hangup }
    }

    /// Never ends by itself.
    pub(super) async fn run(self) {
        let mut hangups = hangups(self.on_hangup);
        let mut watch = Watch::new(&watched(&self.boot));
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = tick.tick() => false,
                () = hangups.next() => true,
            };
            let changed = watch.changed();
            if !asked && changed.is_empty() {
                continue;
            }
            let why = if asked { "SIGHUP".to_owned() } else { names(&changed) };
            self.reload(&why).await;
            // What is watched may have changed with it; the files count as seen from before the
            // load, so that a write during it is not lost.
            watch.follow(&watched(&self.live.load().config));
        }
    }

    /// One attempt. Files are read and keys opened off the control thread.
    async fn reload(&self, why: &str) {
        let load = Arc::clone(&self.load);
        let surroundings = Arc::clone(&self.surroundings);
        let previous = self.live.load_full();
        let built = tokio::task::spawn_blocking(move || {
            let loaded = load().map_err(anyhow::Error::new)?;
            let config = Arc::new(loaded.config);
            State::build(config, &surroundings, Some(&previous.way_out)).map_err(anyhow::Error::new)
        })
        .await;
        let metrics = &self.surroundings.telemetry.metrics;
        match built {
            Ok(Ok(state)) => {
                let needs_restart = needs_restart(&self.boot, &state.config);
                for warning in &state.warnings {
                    tracing::warn!("{warning}");
                }
                if !needs_restart.is_empty() {
                    tracing::warn!("a restart is needed for changes of {}", needs_restart.join(", "));
                }
                self.surroundings.sources.reconcile(&state.fixed_sources());
                self.live.store(state, needs_restart);
                metrics.reloaded(true);
                tracing::info!(because = why, "configuration reloaded");
            }
            Ok(Err(error)) => {
                let text = format!("{error:#}");
                metrics.reloaded(false);
                tracing::error!(
                    because = why,
                    "the new configuration is not used; the old one stays: {text}"
                );
                self.live.failed(text);
            }
            Err(panic) => tracing::error!("a reload was interrupted: {panic}"),
        }
    }
}

/// What changed and belongs to the process: the names of keys.
fn needs_restart(boot: &Config, now: &Config) -> Vec<String> {
    let changed = [
        ("listen", boot.listen != now.listen),
        ("admin", boot.admin != now.admin),
        ("threads", boot.threads != now.threads),
        ("inbound.tls", boot.inbound.tls != now.inbound.tls),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

/// The files whose change asks for a reload. Those of the local CA without condition: where
/// `intercept` was switched on before there was a CA, the making of one is what was missing.
fn watched(config: &Config) -> Vec<PathBuf> {
    let mut files = config.watched.clone();
    files.extend(ca::files(&ca::default_dir(&config.base_dir)));
    files
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("changed: {}", names.join(", "))
}

/// SIGHUP, where there is such a thing.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
fn hangups(wanted: bool) -> Hangups {
    if !wanted {
        return Hangups { signal: None };
    }
    let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    if let Err(error) = &signal {
        tracing::warn!("SIGHUP is not listened for: {error}");
    }
    Hangups { signal: signal.ok() }
}

#[cfg(not(unix))]
fn hangups(_: bool) -> Hangups {
    Hangups {}
}

impl Hangups {
    #[cfg(unix)]
    async fn next(&mut self) {
        match &mut self.signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }
}
