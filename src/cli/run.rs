//! `run`: a command behind a proxy of its own, from the first token to the command's exit code.
//!
//! The proxy and its admin listener take free ports, so any number of runs go side by side. The
//! command is not started before it could succeed, its input and output are its own, and what we
//! have to say (warnings, a summary of failed requests) goes to stderr.

mod child;
mod environment;
mod summary;
mod trust;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{Global, RunArgs};
use super::failure::{Failure, Outcome};
use super::{process, serve, setup, token};
use crate::app::{self, Load, Running};
use crate::ca;
use crate::config::{self, Config, LoadRequest, Overrides};
use crate::oauth::Class;

use self::child::{Child, Ending, Signals};
use self::environment::Environment;
use self::trust::Bundle;

pub(super) use self::child::become_command;

/// How long a token that fails to come for a passing reason (no network yet, 503) is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between looks at whether a pause after a failed token request is over.
const PAUSE: Duration = Duration::from_millis(100);

/// What is still under way when the command has ended is nobody's any more.
const GRACE: Duration = Duration::from_secs(1);

/// In arguments: the proxy's URL.
const PLACEHOLDER: &str = "{url}";

pub(super) fn run(global: &Global, args: &RunArgs) -> Outcome {
    let logging = setup::quiet_logging(global)?;
    process::undumpable();
    let load = loader(setup::request(global, overrides(args))?);
    process::runtime()?.block_on(async {
        let mut signals = Signals::listen()?;
        // SIGHUP is the command's.
        let options = app::Options { reload_on_hangup: false, ..serve::options(logging.access()) };
        let bound = app::bind(load, options).await.map_err(setup::of_start)?;
        let running = bound.running();
        let (over, was_over) = tokio::sync::oneshot::channel::<()>();
        let mut ending = None;
        let command = async {
            ending = Some(carry_out(args, &running, &mut signals).await);
            let _ = over.send(());
        };
        let abort = async {
            // The sender's end, however it comes, is the sign.
            let _ = was_over.await;
            tokio::time::sleep(GRACE).await;
        };
        bound.run(command, abort).await.map_err(setup::of_start)?;
        summary::print(&running.surroundings.telemetry);
        match ending {
            Some(ending) => ending.map(Ending::exit_code),
            None => Err(Failure::run_time(anyhow::anyhow!("the proxy ended before the command did"))),
        }
    })
}

/// Everything between the first token and the command's end.
async fn carry_out(args: &RunArgs, running: &Running, signals: &mut Signals) -> Result<Ending, Failure> {
    let config = Arc::clone(&running.live.load_full().config);
    if config.routes.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "the configuration has no route, so there is nothing to proxy"
        ))
        .hint("name the API with --upstream URL, or add a [[routes]] table"));
    }
    let url = running.addresses.proxy_url().expect("the proxy is bound to a loopback port");
    tokio::select! {
        ready = ready(running) => ready?,
        signal = signals.next() => return Ok(Ending::before_start(signal)),
    }
    let bundle = trusted(args, &config)?;
    let environment = Environment::new(&config, &url, args.proxy_env, bundle.as_ref());
    let arguments: Vec<OsString> = args.command.iter().map(|argument| filled_in(argument, &url)).collect();
    let child = match Child::start(&arguments, &environment) {
        Ok(child) => child,
        Err(ending) => return Ok(ending),
    };
    child.ended(signals).await.map_err(|error| {
        Failure::run_time(error).context(format!("cannot wait for {}", args.command[0].display()))
    })
}

/// Waits for the tokens of the routes whose claims are fixed.
async fn ready(running: &Running) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let Err(failure) = running.tokens().await else { return Ok(()) };
        if failure.error.class() == Class::Permanent || started.elapsed() + failure.retry_after >= PATIENCE {
            return Err(token::refused(&failure.error));
        }
        tokio::time::sleep(failure.retry_after.max(PAUSE)).await;
    }
}

/// The certificates that a command needs which goes through the proxy into intercepted TLS.
fn trusted(args: &RunArgs, config: &Config) -> Result<Option<Bundle>, Failure> {
    if !args.proxy_env || !config.forward.intercept {
        return Ok(None);
    }
    let [root, ..] = ca::files(&ca::default_dir(&config.base_dir));
    let bundle = Bundle::write(root).map_err(|error| {
        Failure::run_time(error).context("cannot write the certificates for the command to trust")
    })?;
    Ok(Some(bundle))
}

fn overrides(args: &RunArgs) -> Overrides {
    let free = Some("127.0.0.1:0".to_owned());
    Overrides { listen: free.clone(), admin: free, ..setup::upstream(args.upstream.as_ref()) }
}

/// The configuration, without what guards the listener that it names: ours is another one, on
/// loopback, and the command knows neither that password nor that certificate.
fn loader(request: LoadRequest) -> Load {
    Arc::new(move || {
        let mut loaded = config::load(&request)?;
        loaded.config.inbound.password = None;
        loaded.config.inbound.tls = None;
        Ok(loaded)
    })
}

/// An argument that is not UTF-8 stays as it is.
fn filled_in(argument: &OsString, url: &str) -> OsString {
    match argument.to_str() {
        Some(text) => text.replace(PLACEHOLDER, url).into(),
        None => argument.clone(),
    }
}

impl Ending {
    fn exit_code(self) -> ExitCode {
        ExitCode::from(self.0)
    }
}
