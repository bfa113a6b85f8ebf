//! [`SecretSource`]: a secret as it is configured, and how its value is read.
//!
//! The value never appears in an error, nor does what a command wrote to stdout.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::secret::Secret;

/// How long a command may take, a person's touch of a key included.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// More than this is no password; it bounds what a wrong file or command can make us hold.
const SIZE_LIMIT: u64 = 64 * 1024;

/// A secret as it is configured; it is read when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Literal(Secret<String>),
    /// The name of an environment variable.
    Env(String),
    /// A file whose content, without a line ending at its end, is the secret.
    File(PathBuf),
    /// A command line for the shell, whose first line on stdout is the secret.
    Command(String),
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretSourceError {
    #[error("the environment variable {0} is not set")]
    EnvMissing(String),
    #[error("the environment variable {0} is not UTF-8")]
    EnvNotText(String),
    #[error("the file {} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the file {} is not UTF-8, or is longer than 64 KiB", .0.display())]
    FileNotText(PathBuf),
    #[error("the command `{command}` cannot be started")]
    CommandStart { command: String, source: io::Error },
    #[error("the command `{command}` did not end within {} s", COMMAND_LIMIT.as_secs())]
    CommandTimeout { command: String },
    /// `status` is the exit code or signal; `stderr` what the command said there.
    #[error("the command `{command}` failed ({status}): {stderr}")]
    CommandFailed { command: String, status: String, stderr: String },
    #[error("what the command `{command}` printed is not UTF-8, or is longer than 64 KiB")]
    CommandNotText { command: String },
}

impl SecretSourceError {
    /// The next step for a person.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::EnvMissing(_) | Self::EnvNotText(_) => {
                "set the variable for the process that runs maskinporten-proxy"
            }
            Self::File { .. } | Self::FileNotText(_) => {
                "check the path (relative to the file that names it), its permissions, and that it holds the secret alone"
            }
            Self::CommandStart { .. }
            | Self::CommandTimeout { .. }
            | Self::CommandFailed { .. }
            | Self::CommandNotText { .. } => {
                "run the command by hand in the same environment; it must print the secret, and ask nothing on stdin"
            }
        }
    }
}

impl SecretSource {
    /// Reads the secret. An empty one counts as none.
    ///
    /// This blocks, on a file or for as long as a command runs (30 s at most).
    ///
    /// # Errors
    ///
    /// A variable that is not set, a file that cannot be read, a command that fails.
    pub fn resolve(&self) -> Result<Option<Secret<String>>, SecretSourceError> {
        let value = match self {
            Self::Literal(secret) => secret.clone(),
            Self::Env(name) => Secret::new(std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretSourceError::EnvMissing(name.clone()),
                std::env::VarError::NotUnicode(_) => SecretSourceError::EnvNotText(name.clone()),
            })?),
            Self::File(path) => read_file(path)?,
            Self::Command(command) => run(command, COMMAND_LIMIT)?,
        };
        Ok(Some(value).filter(|value| !value.expose().is_empty()))
    }
}

fn read_file(path: &std::path::Path) -> Result<Secret<String>, SecretSourceError> {
    let failed = |source| SecretSourceError::File { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = text(&bytes).ok_or_else(|| SecretSourceError::FileNotText(path.to_owned()))?;
    Ok(Secret::from(without_line_ending(text)))
}

/// Runs `command` by the shell and takes the first line that it prints.
fn run(command: &str, limit: Duration) -> Result<Secret<String>, SecretSourceError> {
    let deadline = Instant::now() + limit;
    let mut child = shell(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| SecretSourceError::CommandStart { command: command.to_owned(), source })?;
    // Both pipes are read while it runs, so that it can never block on a full one. They are read
    // to their end by threads of their own: a grandchild may hold them open for longer than the
    // command lives.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let timed_out = || SecretSourceError::CommandTimeout { command: command.to_owned() };

    let Some(status) = wait(&mut child, deadline) else {
        // It may have ended in this moment; either way it is over.
        let _ = child.kill();
        let _ = child.wait();
        return Err(timed_out());
    };
    if !status.success() {
        let said = stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        return Err(SecretSourceError::CommandFailed {
            command: command.to_owned(),
            status: status.to_string(),
            stderr: excerpt(&String::from_utf8_lossy(&said)),
        });
    }
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
    let bytes = stdout.recv_timeout(left).map_err(|_| timed_out())?;
    let text =
        text(&bytes).ok_or_else(|| SecretSourceError::CommandNotText { command: command.to_owned() })?;
    Ok(Secret::from(text.lines().next().unwrap_or_default()))
}

#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(mut pipe) = pipe {
            // What was read before an error is all there is to have; the rest of a flood is let
            // go by, so that the command does not block on it.
            let _ = pipe.by_ref().take(SIZE_LIMIT + 1).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        // Nobody waits any more where the time ran out.
        let _ = sender.send(bytes);
    });
    receiver
}

/// The exit status, or `None` once the deadline has passed. The standard library has no wait with
/// a limit, so this asks, at growing intervals of at most 50 ms.
fn wait(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.len() as u64 > SIZE_LIMIT {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

fn without_line_ending(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// The end of what was said, where the reason usually stands, on one line.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "it said nothing on stderr".to_owned();
    }
    let skip = line.chars().count().saturating_sub(400);
    line.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(source: &SecretSource) -> Option<String> {
        source.resolve().unwrap().map(|secret| secret.expose().clone())
    }

    #[test]
    fn a_file_loses_one_line_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (content, expected) in [
            ("a\n", Some("a")),
            ("a\r\n", Some("a")),
            ("a\n\n", Some("a\n")),
            (" a ", Some(" a ")),
            ("\n", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(value(&SecretSource::File(path.clone())).as_deref(), expected, "{content:?}");
        }
    }

    #[test]
    fn an_empty_literal_is_none() {
        assert_eq!(value(&SecretSource::Literal(Secret::from(""))), None);
        assert_eq!(value(&SecretSource::Literal(Secret::from("x"))).as_deref(), Some("x"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = SecretSource::Env("MASKINPORTEN_PROXY_TEST_NOT_SET".to_owned()).resolve().unwrap_err();
        assert!(error.to_string().contains("MASKINPORTEN_PROXY_TEST_NOT_SET"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_gives_its_first_line() {
        let source = |text: &str| SecretSource::Command(text.to_owned());
        assert_eq!(value(&source("printf 'hemmelig\\nmore\\n'")).as_deref(), Some("hemmelig"));
        assert_eq!(value(&source("true")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_fails_is_quoted_from_stderr_and_never_from_stdout() {
        let source = SecretSource::Command("echo hemmelig; echo 'not signed in' >&2; exit 3".to_owned());
        let shown = format!("{:?}", source.resolve().unwrap_err());
        assert!(shown.contains("not signed in") && shown.contains('3'), "{shown}");
        // The command line itself is shown, and holds the word once; its output would be a second.
        assert_eq!(shown.matches("hemmelig").count(), 1, "{shown}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_ended() {
        let began = Instant::now();
        let error = run("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, SecretSourceError::CommandTimeout { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_floods_is_refused_and_does_not_block() {
        let error = run("head -c 1000000 /dev/zero", COMMAND_LIMIT).unwrap_err();
        assert!(matches!(error, SecretSourceError::CommandNotText { .. }), "{error}");
    }
}
