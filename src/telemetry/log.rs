//! Log lines: for people on a terminal, as JSON for everything else, on stderr.
//!
//! What is printed is chosen by `RUST_LOG` (default `info`), within a limit that no setting
//! lifts: other crates are heard from `INFO` upwards only. Their `DEBUG` and `TRACE` lines may
//! print frames, headers or bodies, today or after an update, and those hold tokens. Messages of
//! the `log` crate (rustls, reqwest, mio) are not taken in at all. Our own lines go through
//! [`redact::text`] as a last resort.
//!
//! Lines are handed to a thread of their own, which writes as many as there are in one go. A
//! reader of stderr that stalls makes lines be dropped, and counted, but never holds a request.

mod access;
mod sink;

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::redact;

pub use access::AccessLog;
pub use sink::Sink;

/// The target of the line for each request: `RUST_LOG=info,maskinporten_proxy::access=off`
/// leaves these out and costs nothing then.
pub const ACCESS_TARGET: &str = "maskinporten_proxy::access";

/// Targets of this program begin so.
const OWN: &str = "maskinporten_proxy";

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`Human`](Self::Human) where stderr is a terminal, else [`Json`](Self::Json).
    #[default]
    Auto,
    Human,
    /// One JSON object on each line.
    Json,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    pub format: Format,
    /// Directives as in `RUST_LOG`.
    pub filter: String,
    /// Colours, in the format for people.
    pub ansi: bool,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("RUST_LOG is {text:?}, which is not a list of filter directives")]
    Filter {
        text: String,
        #[source]
        source: ParseError,
    },
    #[error("the log's thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Logging while it is held; what was logged before it is dropped is written by then.
#[derive(Debug)]
pub struct Logging {
    access: AccessLog,
    sink: Sink,
}

/// Sets up logging for the process, to stderr.
pub fn init(options: &LogOptions) -> Result<Logging, LogError> {
    let sink = Sink::start(io::stderr()).map_err(LogError::Thread)?;
    subscriber(options, sink.clone())?.try_init().map_err(LogError::Twice)?;
    Ok(Logging { access: AccessLog::new(options, sink.clone()), sink })
}

impl LogOptions {
    /// What the environment asks for: `RUST_LOG`, `NO_COLOR` (<https://no-color.org>), and whether
    /// stderr is a terminal.
    pub fn from_env(format: Format) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stderr().is_terminal();
        Self {
            format: match format {
                Format::Auto if terminal => Format::Human,
                Format::Auto => Format::Json,
                chosen => chosen,
            },
            filter: set("RUST_LOG").unwrap_or_else(|| String::from("info")),
            ansi: terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

impl Logging {
    /// Where the line for each request is written.
    pub fn access(&self) -> AccessLog {
        self.access.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sink.flush();
    }
}

fn subscriber(options: &LogOptions, sink: Sink) -> Result<impl Subscriber + Send + Sync + use<>, LogError> {
    let chosen = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|source| LogError::Filter { text: options.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(sink));
    let layer = match options.format {
        Format::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
        Format::Human | Format::Auto => lines.with_ansi(options.ansi).boxed(),
    };
    // The filters are for everything, not for this layer alone: what asks whether a target is
    // enabled, as the access log does, is told right only then.
    Ok(registry().with(layer).with(chosen).with(filter_fn(is_safe)))
}

/// The limit that no setting lifts. Levels compare by verbosity: TRACE is the greatest.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let own = target.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    own || *metadata.level() <= LevelFilter::INFO
}

/// Takes the lines that tracing formats, one write for each.
struct Lines(Sink);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl io::Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write(redact::text(&text).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
