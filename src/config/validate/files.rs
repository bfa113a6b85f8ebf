//! Warns of files that hold secrets and are open to others.

use super::Checker;

impl Checker<'_> {
    /// A file that is not there is told of where it is read.
    pub(super) fn permissions(&mut self) {
        for path in &self.private {
            if let Some(mode) = mode_for_others(path) {
                self.warnings.push(format!(
                    "{} holds a secret and is open to others (mode {mode:04o}); chmod 600 {}",
                    path.display(),
                    quoted(&path.to_string_lossy()),
                ));
            }
        }
    }
}

/// The mode of a file that anyone but its owner may touch.
#[cfg(unix)]
fn mode_for_others(path: &std::path::Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Other platforms have no mode to judge by.
#[cfg(not(unix))]
fn mode_for_others(_: &std::path::Path) -> Option<u32> {
    None
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
