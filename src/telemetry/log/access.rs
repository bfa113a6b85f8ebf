//! The line for each request.

use std::fmt::Write as _;

use serde::Serialize;
use tracing::Level;

use super::{ACCESS_TARGET, Format, LogOptions, Sink};
use crate::telemetry::recent::{Entry, Phases};

/// Formats and writes a line for each finished exchange, a batch at a time.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    ansi: bool,
    /// `None`: nothing is logged.
    sink: Option<Sink>,
}

/// As tracing's JSON format has it, its fields flattened.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    request_id: &'a str,
    method: &'a str,
    path: &'a str,
    host: Option<&'a str>,
    route: Option<&'a str>,
    status: Option<u16>,
    duration_ms: f64,
    phases: Phases,
    bytes_in: u64,
    bytes_out: u64,
    failed: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl AccessLog {
    pub(super) fn new(options: &LogOptions, sink: Sink) -> Self {
        Self { format: options.format, ansi: options.ansi, sink: Some(sink) }
    }

    /// An access log that is never written, for commands that serve nobody else.
    pub fn off() -> Self {
        Self { format: Format::Human, ansi: false, sink: None }
    }

    /// Whether the filter wants these lines. Asked for each batch, so it must be cheap.
    pub(in crate::telemetry) fn is_enabled(&self) -> bool {
        self.sink.is_some() && tracing::enabled!(target: ACCESS_TARGET, Level::INFO)
    }

    pub(in crate::telemetry) fn format(&self, entry: &Entry, lines: &mut String) {
        match self.format {
            Format::Json => json(entry, lines),
            Format::Human | Format::Auto => human(entry, self.ansi, lines),
        }
        lines.push('\n');
    }

    pub(in crate::telemetry) fn write(&self, lines: &str) {
        if let Some(sink) = &self.sink {
            sink.write(lines.as_bytes());
        }
    }

    /// Writes that were dropped because nobody read them.
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::dropped)
    }
}

fn json(entry: &Entry, lines: &mut String) {
    let line = Line {
        timestamp: &entry.time,
        level: "INFO",
        target: ACCESS_TARGET,
        message: "request",
        request_id: &entry.id,
        method: &entry.method,
        path: entry.path_alone(),
        host: entry.host.as_deref(),
        route: entry.route.as_deref(),
        status: entry.status,
        duration_ms: entry.duration_ms,
        phases: entry.phases,
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        failed: entry.failed.map(|failed| failed.name()),
        detail: entry.detail.as_deref(),
        trace_id: entry.trace_id.as_deref(),
    };
    lines.push_str(&serde_json::to_string(&line).expect("a line holds nothing that JSON cannot"));
}

fn human(entry: &Entry, ansi: bool, lines: &mut String) {
    let paint = |code: &'static str| if ansi { code } else { "" };
    let (dim, reset) = (paint("\x1b[2m"), paint("\x1b[0m"));
    let colour = paint(match (entry.failed, entry.status) {
        (Some(_), _) | (None, Some(500..)) => "\x1b[31m",
        (None, Some(400..)) => "\x1b[33m",
        _ => "\x1b[32m",
    });
    let written = (|| {
        write!(lines, "{dim}{}{reset} {} INFO{reset} ", entry.time, paint("\x1b[32m"))?;
        write!(
            lines,
            "{dim}{ACCESS_TARGET}:{reset} {} {} ",
            Plain(&entry.method),
            Plain(entry.path_alone())
        )?;
        match entry.status {
            Some(status) => write!(lines, "{colour}{status}{reset}")?,
            None => write!(lines, "{colour}no answer{reset}")?,
        }
        write!(lines, " {} ms", entry.duration_ms)?;
        if let Some(failed) = entry.failed {
            write!(lines, " {colour}failed={}{reset}", failed.name())?;
        }
        if let Some(detail) = &entry.detail {
            write!(lines, " {colour}{}{reset}", Plain(detail))?;
        }
        if let Some(route) = &entry.route {
            write!(lines, " {dim}route={reset}{}", Plain(route))?;
        }
        write!(lines, " {dim}in={reset}{} {dim}out={reset}{}", entry.bytes_in, entry.bytes_out)?;
        write!(lines, " {dim}request_id={reset}{}", entry.id)?;
        if let Some(trace) = &entry.trace_id {
            write!(lines, " {dim}trace_id={reset}{trace}")?;
        }
        Ok::<(), std::fmt::Error>(())
    })();
    written.expect("writing to a String does not fail");
}

/// Text without control characters, so that a request cannot begin a line or talk to a terminal.
struct Plain<'a>(&'a str);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}
