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

/// The mode of a file that anyone but its owner may touch. The group of somebody else's file is
/// let be: it is how this process comes to read it (Kubernetes' `fsGroup`).
#[cfg(unix)]
fn mode_for_others(path: &std::path::Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.mode() & 0o7777;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    (mode & if own { 0o077 } else { 0o007 } != 0).then_some(mode)
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
