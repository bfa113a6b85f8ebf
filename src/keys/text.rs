//! Small pieces of text for messages.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Text out of a file, fit for one line of a terminal or a log: control characters, which could
/// forge a line or drive the terminal, are escaped.
pub(super) fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// A date for people: `2026-03-14`, in UTC.
pub(super) fn date(time: SystemTime) -> String {
    let moment = offset(time);
    format!("{:04}-{:02}-{:02}", moment.year(), u8::from(moment.month()), moment.day())
}

/// `time` in whole seconds; certificates hold no year that does not fit.
pub(super) fn offset(time: SystemTime) -> OffsetDateTime {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()),
        Err(before) => i64::try_from(before.duration().as_secs()).map(|seconds| -seconds),
    };
    seconds
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Quoted for a POSIX shell where it has to be.
pub(super) fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | '+' | '=');
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_for_people() {
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(1_773_446_400)), "2026-03-14");
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(86_400)), "1969-12-31");
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(printable("Ærlig AS\nhint: \x1b[2J"), "Ærlig AS\\nhint: \\u{1b}[2J");
    }

    #[test]
    fn quotes_for_the_shell_where_needed() {
        assert_eq!(shell_quoted("/etc/keys/a.p12"), "/etc/keys/a.p12");
        assert_eq!(shell_quoted("Ola's key.p12"), r"'Ola'\''s key.p12'");
        assert_eq!(shell_quoted("-rf"), "'-rf'");
    }
}
