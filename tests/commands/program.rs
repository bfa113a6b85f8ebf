//! The binary under test, in an environment of nobody's.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::LIMIT;

/// What a command ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary's path.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_maskinporten-proxy");

/// The binary with these arguments, in `folder`. It has a process group of its own, so that it is
/// never the foreground one of a terminal that the tests may have been started from.
pub(crate) fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Runs to the end.
pub(crate) async fn ended(mut command: Command) -> Ended {
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("an end in time");
    let output = output.expect("a start");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs to the end in `folder`.
pub(crate) async fn run_in(folder: &Path, arguments: &[&str]) -> Ended {
    ended(program(folder, arguments)).await
}

/// A command that says something and then waits for a line, so that a test can look meanwhile.
pub(crate) struct Talking {
    pub(crate) child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Talking {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("a start");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// The next line of its stdout; what it said on stderr, where there is none.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a line in time");
        match line.expect("UTF-8") {
            Some(line) => line,
            None => panic!("no line, but: {}", self.rest_of_stderr().await),
        }
    }

    pub(crate) async fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("a reader");
    }

    pub(crate) fn id(&self) -> rustix::process::Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        rustix::process::Pid::from_raw(id).expect("not zero")
    }

    pub(crate) async fn code(&mut self) -> Option<i32> {
        tokio::time::timeout(LIMIT, self.child.wait()).await.expect("an end in time").expect("a child").code()
    }

    pub(crate) async fn rest_of_stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let read = tokio::time::timeout(LIMIT, stderr.read_to_string(&mut text));
            read.await.expect("an end in time").expect("UTF-8");
        }
        text
    }
}
