//! The reload loop: a changed file or SIGHUP → load → build → in force, or reported and ignored.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::Load;
use super::watch::Watch;
use crate::ca;
use crate::config::Config;
use crate::state::{Live, State, Surroundings};

/// Replaces the state in force when the configuration or a file that it names changes.
pub(super) struct Reloader {
    load: Load,
    /// The configuration that the listeners were bound from.
    boot: Arc<Config>,
    watch: Watch,
    live: Arc<Live>,
    surroundings: Arc<Surroundings>,
    interval: Duration,
}

impl Reloader {
    pub(super) fn new(
        load: Load,
        boot: Arc<Config>,
        watch: Watch,
        live: Arc<Live>,
        surroundings: Arc<Surroundings>,
        interval: Duration,
    ) -> Self {
        Self { load, boot, watch, live, surroundings, interval }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let mut hangups = hangups();
        let mut reminder = Reminder::new(self.surroundings.clock.wall());
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = tick.tick() => false,
                () = hangups.next() => true,
            };
            if reminder.is_due(self.surroundings.clock.wall()) {
                self.remind();
            }
            let changed = self.watch.changed();
            if !asked && changed.is_empty() {
                continue;
            }
            let why = if asked { "SIGHUP".to_owned() } else { names(&changed) };
            self.reload(&why).await;
            // What is watched may have changed with it; the files count as seen from before the
            // load, so that a write during it is not lost.
            self.watch.follow(&watched(&self.live.load().config));
        }
    }

    /// Warns of keys whose certificates end soon. What was logged at start has scrolled away by
    /// the time that it matters.
    fn remind(&self) {
        let now = self.surroundings.clock.wall();
        let state = self.live.load_full();
        for (client, key) in &state.keys {
            for warning in key.warnings(now) {
                tracing::warn!("the key of client `{client}`: {warning}");
            }
        }
    }

    /// One attempt. Files are read and keys opened off the control thread.
    async fn reload(&self, why: &str) {
        let load = Arc::clone(&self.load);
        let surroundings = Arc::clone(&self.surroundings);
        let previous = self.live.load_full();
        let built = tokio::task::spawn_blocking(move || {
            let loaded = load().map_err(|error| anyhow::Error::new(error))?;
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

/// The files of `config` as they are now.
pub(super) fn watch(config: &Config) -> Watch {
    Watch::new(&watched(config))
}

/// Tells when another day has passed.
struct Reminder {
    last: SystemTime,
}

impl Reminder {
    const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

    fn new(now: SystemTime) -> Self {
        Self { last: now }
    }

    fn is_due(&mut self, now: SystemTime) -> bool {
        match now.duration_since(self.last) {
            Ok(since) if since < Self::EVERY => false,
            Ok(_) => {
                self.last = now;
                true
            }
            // The clock was set back: the day is counted from there.
            Err(_) => {
                self.last = now;
                false
            }
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

/// The files whose change asks for a reload.
fn watched(config: &Config) -> Vec<PathBuf> {
    let mut files = config.watched.clone();
    if config.forward.intercept {
        files.extend(ca::files(&ca::default_dir(&config.base_dir)));
    }
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
fn hangups() -> Hangups {
    let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    if let Err(error) = &signal {
        tracing::warn!("SIGHUP is not listened for: {error}");
    }
    Hangups { signal: signal.ok() }
}

#[cfg(not(unix))]
fn hangups() -> Hangups {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_is_due_once_a_day_by_the_wall_clock() {
        let hour = Duration::from_secs(60 * 60);
        let start = SystemTime::UNIX_EPOCH + 1_000_000 * hour;
        let mut reminder = Reminder::new(start);
        let due: Vec<u32> = (1..=72).filter(|hours| reminder.is_due(start + *hours * hour)).collect();
        assert_eq!(due, [24, 48, 72]);
        assert!(!reminder.is_due(start), "set back by three days");
        assert!(!reminder.is_due(start + 23 * hour));
        assert!(reminder.is_due(start + 24 * hour));
    }
}
