//! The reload loop: a changed file or SIGHUP → load → build → in force, or reported and ignored.

mod change;
mod reminder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use self::change::{Change, needs_restart};
use self::reminder::Reminder;
use super::watch::{Watch, fingerprint};
use super::{Load, Options, StartError};
use crate::ca;
use crate::config::{Config, InboundTls};
use crate::state::{Live, State, Surroundings};

/// How often in a row a file may be found changed again before it is read as it is.
const LOOKS: u32 = 10;

/// Replaces the state in force when the configuration or a file that it names changes.
pub(super) struct Reloader {
    load: Load,
    boot: Boot,
    watch: Watch,
    live: Arc<Live>,
    surroundings: Arc<Surroundings>,
    interval: Duration,
    hangups: Hangups,
}

/// What the process was started with.
pub(super) struct Boot {
    config: Arc<Config>,
    /// Of the files of `[inbound.tls]`.
    tls: Option<TlsFiles>,
    /// Taken before anything that it names was opened, so that no later change is missed.
    watch: Watch,
    /// From here on SIGHUP no longer ends the process.
    hangups: Hangups,
}

type TlsFiles = Vec<Option<[u8; 32]>>;

impl Boot {
    /// To be called between loading `config` and opening what it names.
    pub(super) fn of(config: &Arc<Config>, options: &Options) -> Self {
        Self {
            config: Arc::clone(config),
            tls: config.inbound.tls.as_ref().map(tls_files),
            watch: Watch::new(&watched(config)),
            hangups: hangups(options.reload_on_hangup),
        }
    }
}

impl Reloader {
    pub(super) fn new(
        load: Load,
        mut boot: Boot,
        live: Arc<Live>,
        surroundings: Arc<Surroundings>,
        options: &Options,
    ) -> Self {
        let watch = std::mem::take(&mut boot.watch);
        let hangups = std::mem::take(&mut boot.hangups);
        Self { load, boot, watch, live, surroundings, interval: options.watch_interval, hangups }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let mut reminder = Reminder::new(self.surroundings.clock.wall());
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut asked = tokio::select! {
                _ = tick.tick() => false,
                () = self.hangups.next() => true,
            };
            reminder.look(&self.live.load(), self.surroundings.clock.wall());
            let mut changed: BTreeSet<PathBuf> = self.look().await.into_iter().collect();
            if !asked && changed.is_empty() {
                continue;
            }
            // A file that is being written, or several that belong together: what counts is how
            // they are once they rest.
            for _ in 0..LOOKS {
                if asked {
                    break;
                }
                asked = tokio::select! {
                    _ = tick.tick() => false,
                    () = self.hangups.next() => true,
                };
                let more = self.look().await;
                if more.is_empty() {
                    break;
                }
                changed.extend(more);
            }
            let why = if asked { "SIGHUP".to_owned() } else { names(&changed) };
            self.reload(&why).await;
        }
    }

    /// The files that have changed since the last look. They may lie on a disk that is slow to
    /// answer, so it is not this thread that asks.
    async fn look(&mut self) -> Vec<PathBuf> {
        let mut watch = std::mem::take(&mut self.watch);
        let looked = tokio::task::spawn_blocking(move || {
            let changed = watch.changed();
            (watch, changed)
        });
        match looked.await {
            Ok((watch, changed)) => {
                self.watch = watch;
                changed
            }
            Err(error) => {
                tracing::error!("the look at the watched files was interrupted: {error}");
                self.watch = Watch::new(&watched(&self.live.load().config));
                Vec::new()
            }
        }
    }

    /// One attempt. Files are read and keys opened off the control thread.
    async fn reload(&mut self, why: &str) {
        let old = self.live.load_full();
        let mut watch = std::mem::take(&mut self.watch);
        let (load, surroundings, previous) =
            (Arc::clone(&self.load), Arc::clone(&self.surroundings), Arc::clone(&old));
        let attempt = tokio::task::spawn_blocking(move || {
            let config = match load() {
                Ok(loaded) => Arc::new(loaded.config),
                Err(error) => return (watch, Err(StartError::Config(error))),
            };
            // What this one names is watched although it may not take effect: the key that it
            // waits for may come later. Files count as seen before they are opened.
            watch.follow(watched(&config).union(&watched(&previous.config)));
            let built = State::build(Arc::clone(&config), &surroundings, Some(&previous.way_out));
            if built.is_ok() {
                watch.follow(&watched(&config));
            }
            (watch, built.map_err(StartError::Build))
        })
        .await;
        match attempt {
            Ok((watch, Ok(state))) => {
                self.watch = watch;
                self.put_in_force(&old, state, why);
            }
            Ok((watch, Err(error))) => {
                self.watch = watch;
                self.refuse(&told(&error), why);
            }
            Err(error) => {
                self.watch = Watch::new(&watched(&old.config));
                self.refuse(&format!("reading it was interrupted: {error}"), why);
            }
        }
    }

    fn put_in_force(&self, old: &State, state: State, why: &str) {
        for warning in &state.warnings {
            tracing::warn!("{warning}");
        }
        let read_at_start = self.boot.tls.as_ref();
        let needs_restart =
            needs_restart(&self.boot.config, &state.config, |tls| read_at_start != Some(&tls_files(tls)));
        if !needs_restart.is_empty() {
            tracing::warn!("a restart is needed for changes of {}", needs_restart.join(", "));
        }
        let change = Change::between(&old.config, &state.config).to_string();
        let sources = &self.surroundings.sources;
        sources.replace_http(state.way_out.token_http());
        sources.reconcile(&state.fixed_sources());
        self.live.store(state, needs_restart);
        self.surroundings.telemetry.metrics.reloaded(true);
        tracing::info!(because = why, change, "configuration reloaded");
    }

    fn refuse(&self, error: &str, why: &str) {
        self.surroundings.telemetry.metrics.reloaded(false);
        tracing::error!(because = why, "the new configuration is not used; the old one stays: {error}");
        self.live.failed(error.to_owned());
    }
}

/// The error with its causes and the next step.
fn told(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        // Many libraries repeat their source in their own text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    match error.hint() {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

fn tls_files(tls: &InboundTls) -> TlsFiles {
    [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| fingerprint(path))
        .collect()
}

/// The files whose change asks for a reload.
fn watched(config: &Config) -> BTreeSet<PathBuf> {
    let mut files: BTreeSet<PathBuf> = config.watched.iter().cloned().collect();
    if config.forward.intercept {
        files.extend(ca::files(&ca::default_dir(&config.base_dir)));
    }
    files
}

fn names(paths: &BTreeSet<PathBuf>) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("changed: {}", names.join(", "))
}

/// SIGHUP, where there is such a thing.
#[derive(Default)]
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
