//! After the command: which of its requests failed, and who failed.

use std::fmt::Write as _;

use crate::telemetry::{Entry, Failed, Telemetry};

/// Failed requests that are shown, the latest.
const SHOWN: usize = 20;

/// Says nothing where nothing failed.
pub(super) fn print(telemetry: &Telemetry) {
    let totals = telemetry.metrics.totals();
    if totals.failed == 0 {
        return;
    }
    let entries = telemetry.recent.entries();
    // Oldest first, as they happened.
    let mut failed: Vec<&Entry> =
        entries.iter().map(AsRef::as_ref).filter(|entry| entry.failed.is_some()).take(SHOWN).collect();
    failed.reverse();
    eprint!("{}", text(totals.failed, totals.requests, &failed));
}

fn text(failures: u64, requests: u64, shown: &[&Entry]) -> String {
    let mut text = format!("\nmaskinporten-proxy: {failures} of {requests} requests failed");
    if (shown.len() as u64) < failures {
        _ = write!(text, "; the last {}", shown.len());
    }
    text.push_str(":\n");
    for entry in shown {
        let status = entry.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        _ = write!(text, "  {} {} {status}: {}", entry.method, entry.path, who(entry.failed));
        if let Some(detail) = &entry.detail {
            _ = write!(text, ": {detail}");
        }
        text.push('\n');
    }
    text
}

fn who(failed: Option<Failed>) -> &'static str {
    match failed {
        Some(Failed::Client) => "the client failed",
        Some(Failed::Guard) => "a guard refused it",
        Some(Failed::Token) => "no token",
        Some(Failed::Upstream) => "the upstream failed",
        None => "",
    }
}
