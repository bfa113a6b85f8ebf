//! The line for each request.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;
use tracing::Level;

use super::{ACCESS_TARGET, Format, LogOptions, Sink};
use crate::telemetry::recent::Phases;
use crate::telemetry::redacted::Redacted;
use crate::telemetry::{RequestId, TraceId};

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
    request_id: Text<RequestId>,
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
    trace_id: Option<Text<TraceId>>,
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

    pub(in crate::telemetry) fn format(&self, request: &Redacted<'_>, lines: &mut Vec<u8>) {
        match self.format {
            Format::Json => json(request, lines),
            Format::Human | Format::Auto => human(request, self.ansi, lines),
        }
        lines.push(b'\n');
    }

    pub(in crate::telemetry) fn write(&self, lines: &[u8]) {
        if let Some(sink) = &self.sink {
            sink.write(lines);
        }
    }

    /// Writes that were dropped because nobody read them.
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::dropped)
    }
}

fn json(request: &Redacted<'_>, lines: &mut Vec<u8>) {
    let record = request.record;
    let line = Line {
        timestamp: request.time,
        level: "INFO",
        target: ACCESS_TARGET,
        message: "request",
        request_id: Text(record.id),
        method: &request.method,
        path: &request.path,
        host: request.host.as_deref(),
        route: request.route,
        status: request.status(),
        duration_ms: request.duration_ms(),
        phases: request.phases(),
        bytes_in: record.received,
        bytes_out: record.sent,
        failed: record.failed.map(|failed| failed.name()),
        detail: request.detail.as_deref(),
        trace_id: record.trace.map(Text),
    };
    serde_json::to_writer(lines, &line).expect("a line holds nothing that JSON cannot");
}

fn human(request: &Redacted<'_>, ansi: bool, lines: &mut Vec<u8>) {
    let record = request.record;
    let paint = |code: &'static str| if ansi { code } else { "" };
    let (dim, reset) = (paint("\x1b[2m"), paint("\x1b[0m"));
    let colour = paint(match (record.failed, request.status()) {
        (Some(_), _) | (None, Some(500..)) => "\x1b[31m",
        (None, Some(400..)) => "\x1b[33m",
        _ => "\x1b[32m",
    });
    let written = (|| {
        write!(lines, "{dim}{}{reset} {} INFO{reset} ", request.time, paint("\x1b[32m"))?;
        write!(lines, "{dim}{ACCESS_TARGET}:{reset} {} {} ", Plain(&request.method), Plain(&request.path))?;
        match request.status() {
            Some(status) => write!(lines, "{colour}{status}{reset}")?,
            None => write!(lines, "{colour}no answer{reset}")?,
        }
        write!(lines, " {} ms", request.duration_ms())?;
        if let Some(failed) = record.failed {
            write!(lines, " {colour}failed={}{reset}", failed.name())?;
        }
        if let Some(detail) = &request.detail {
            write!(lines, " {colour}{}{reset}", Plain(detail))?;
        }
        if let Some(route) = request.route {
            write!(lines, " {dim}route={reset}{}", Plain(route))?;
        }
        write!(lines, " {dim}in={reset}{} {dim}out={reset}{}", record.received, record.sent)?;
        write!(lines, " {dim}request_id={reset}{}", record.id)?;
        if let Some(trace) = record.trace {
            write!(lines, " {dim}trace_id={reset}{trace}")?;
        }
        Ok::<(), io::Error>(())
    })();
    written.expect("writing to memory does not fail");
}

/// What is written as it displays itself, with no string in between.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
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
