//! `serve`: the proxy, from a configuration, until a signal.

use std::process::ExitCode;
use std::time::Duration;

use super::args::{Global, ServeArgs};
use super::failure::Outcome;
use super::{process, setup};
use crate::app::{self, Addresses, Options};
use crate::clock::Clock;
use crate::net::{self, Patience};
use crate::telemetry::AccessLog;

/// How often the watched files are looked at.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(global: &Global, args: &ServeArgs) -> Outcome {
    let logging = setup::logging(global)?;
    process::harden();
    let load = setup::loader(setup::request(global, setup::overrides(args))?);
    process::runtime()?.block_on(async {
        let bound = app::bind(load, options(logging.access())).await.map_err(setup::of_start)?;
        let addresses = bound.running().addresses;
        // Who reads that it listens may send a signal.
        let (stop, abort) = process::signals()?;
        announce(&addresses);
        let outcome = bound.run(stop, abort).await.map_err(setup::of_start)?;
        end(outcome)
    })
}

pub(super) fn options(access_log: AccessLog) -> Options {
    Options {
        clock: Clock::system(),
        access_log,
        watch_interval: WATCH_INTERVAL,
        reload_on_hangup: true,
        patience: Patience::default(),
    }
}

fn announce(addresses: &Addresses) {
    let proxy = addresses.proxy_url().unwrap_or_else(|| addresses.proxy.to_string());
    let admin = match &addresses.admin {
        Some(listen) => addresses.admin_url().unwrap_or_else(|| listen.to_string()),
        None => "off".to_owned(),
    };
    tracing::info!(proxy, admin, "listening");
}

/// 0 when all that was under way is finished; 1 when some of it had to be cut.
pub(super) fn end(outcome: net::Outcome) -> Outcome {
    match outcome {
        net::Outcome::Finished => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        net::Outcome::Cut { connections, tunnels } => {
            tracing::warn!(connections, tunnels, "stopped with connections still open");
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl ServeArgs {
    /// These, and where they say nothing, `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            admin: self.admin.or(other.admin),
            threads: self.threads.or(other.threads),
            upstream: self.upstream.or(other.upstream),
        }
    }
}
