//! From what was typed to a configuration: shared by the commands that need one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Global, LogFormat, ServeArgs};
use super::failure::Failure;
use crate::app::{Load, StartError};
use crate::config::{self, ConfigError, LoadRequest, Loaded, Overrides};
use crate::state::BuildError;
use crate::telemetry::log::{self, Format, LogOptions, Logging};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "proxy.toml";

/// What asks for a configuration: files, flags, and the process's environment.
///
/// Where no file is named and there is no `proxy.toml`, the environment alone may do.
pub(super) fn request(global: &Global, flags: Overrides) -> Result<LoadRequest, Failure> {
    let mut request = LoadRequest::from_process(global.config.clone(), flags)
        .map_err(|error| Failure::run_time(error).context("there is no working directory"))?;
    let from_environment = request
        .env
        .keys()
        .any(|name| name == "MASKINPORTEN_CLIENT_ID" || name.starts_with("MASKINPORTEN_PROXY_CLIENTS__"));
    if request.files.is_empty() {
        if Path::new(DEFAULT_FILE).exists() {
            request.files.push(PathBuf::from(DEFAULT_FILE));
        } else if !from_environment {
            return Err(Failure::usage(anyhow::anyhow!("there is no {DEFAULT_FILE} here, and no --config names another file"))
                .hint("`maskinporten-proxy init` asks a few questions and writes one; `maskinporten-proxy demo` needs none"));
        }
    }
    Ok(request)
}

/// Loads the configuration once.
pub(super) fn load(global: &Global, flags: Overrides) -> Result<Loaded, Failure> {
    config::load(&request(global, flags)?).map_err(of_config)
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

/// Logging as the flags and the environment ask for it; for what serves.
pub(super) fn logging(global: &Global) -> Result<Logging, Failure> {
    start_logging(LogOptions::from_env(format(global)))
}

/// For the demo: what `serve` logs, without the advice on the configuration, which is not the
/// user's.
pub(super) fn demo_logging(global: &Global) -> Result<Logging, Failure> {
    logging_from(global, "info,maskinporten_proxy::app=error")
}

/// For commands that run something else: warnings alone, unless `RUST_LOG` asks for more.
pub(super) fn quiet_logging(global: &Global) -> Result<Logging, Failure> {
    logging_from(global, "warn")
}

/// For commands whose output is their result: what goes wrong is told once, as their error, and
/// the log says nothing more unless `RUST_LOG` asks for it.
pub(super) fn silent_logging(global: &Global) -> Result<Logging, Failure> {
    logging_from(global, "error")
}

fn logging_from(global: &Global, level: &str) -> Result<Logging, Failure> {
    let mut options = LogOptions::from_env(format(global));
    if std::env::var_os("RUST_LOG").is_none() {
        options.filter = level.to_owned();
    }
    start_logging(options)
}

fn start_logging(options: LogOptions) -> Result<Logging, Failure> {
    log::init(&options).map_err(Failure::usage)
}

fn format(global: &Global) -> Format {
    match global.log_format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    }
}

pub(super) fn of_config(error: ConfigError) -> Failure {
    let hint = error.hint().to_owned();
    Failure::usage(error).hint(hint)
}

pub(super) fn of_build(error: BuildError) -> Failure {
    let hint = error.hint();
    Failure::usage(error).maybe_hint(hint)
}

pub(super) fn of_start(error: StartError) -> Failure {
    let hint = error.hint();
    let failure = if error.is_configuration() { Failure::usage(error) } else { Failure::run_time(error) };
    failure.maybe_hint(hint)
}
