//! From what was typed to a configuration: shared by the commands that need one.

use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Global, LogFormat, ServeArgs};
use super::failure::Failure;
use crate::app::{Load, StartError};
use crate::config::{self, ConfigError, LoadRequest, Loaded, Overrides};
use crate::telemetry::log::{self, Format, LogOptions, Logging};

/// What asks for a configuration: files and flags. The environment is the process's.
pub(super) fn request(global: &Global, overrides: Overrides) -> LoadRequest {
    LoadRequest {
        files: global.config.clone(),
        overrides,
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
    }
}

/// Loads the configuration once.
pub(super) fn load(global: &Global, overrides: Overrides) -> Result<Loaded, Failure> {
    config::load(&request(global, overrides)).map_err(of_config)
}

/// A loader that a running program can call again.
pub(super) fn loader(request: LoadRequest) -> Load {
    Arc::new(move || config::load(&request))
}

/// The overrides that `serve`'s flags make.
pub(super) fn overrides(args: &ServeArgs) -> Overrides {
    Overrides {
        listen: args.listen.clone(),
        admin: args.admin.clone(),
        threads: args.threads,
        upstream: args.upstream.clone(),
    }
}

/// The overrides of commands that take `--upstream` alone.
pub(super) fn upstream(upstream: Option<&String>) -> Overrides {
    Overrides { upstream: upstream.cloned(), ..Overrides::default() }
}

/// Logging as the flags and the environment ask for it.
pub(super) fn logging(global: &Global) -> Result<Logging, Failure> {
    let format = match global.log_format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    };
    log::init(&LogOptions::from_env(format)).map_err(Failure::usage)
}

pub(super) fn of_config(error: ConfigError) -> Failure {
    let hint = error.hint();
    Failure::usage(error).maybe_hint(hint)
}

pub(super) fn of_start(error: StartError) -> Failure {
    let hint = error.hint();
    let failure = if error.is_configuration() { Failure::usage(error) } else { Failure::run_time(error) };
    failure.maybe_hint(hint)
}
