//! The real binary as a child process, with all that it prints kept.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::until;

/// A running `serve`. Killed when it is dropped.
pub struct Program {
    child: Child,
    stdout: Kept,
    stderr: Kept,
    pub proxy: String,
    pub admin: String,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// What comes out of a pipe, read by a thread of its own.
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Kept {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                kept.lock().expect("not poisoned").extend_from_slice(&chunk[..count]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("not poisoned")).into_owned()
    }

    /// All of it, once the other end is closed.
    fn whole(mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        self.text()
    }
}

/// The binary with this environment and none of the test's own, but for what it takes to run.
pub fn command(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Command {
    behind(&[], dir, env, args)
}

/// The same, run by another command.
fn behind(prefix: &[&str], dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_maskinporten-proxy");
    let mut words = prefix.iter().copied().chain([binary]).chain(args.iter().copied());
    let mut command = Command::new(words.next().expect("the binary at least"));
    command.current_dir(dir).args(words).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(env.iter().copied().collect::<BTreeMap<_, _>>());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub fn run(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Ended {
    run_with_input(dir, env, args, "")
}

/// The same with something on stdin.
pub fn run_with_input(dir: &Path, env: &[(&str, &str)], args: &[&str], input: &str) -> Ended {
    let mut child = command(dir, env, args).stdin(Stdio::piped()).spawn().expect("the binary starts");
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let stdout = Kept::new(child.stdout.take().expect("a pipe"));
    let stderr = Kept::new(child.stderr.take().expect("a pipe"));
    let status = child.wait().expect("an end");
    Ended { code: status.code(), stdout: stdout.whole(), stderr: stderr.whole() }
}

impl Program {
    /// Starts `serve` (with JSON log lines) and waits until it listens.
    pub async fn serve(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Self {
        Self::serve_behind(&[], dir, env, args).await
    }

    /// The same, run by a command that becomes it (`setpriv`, `nice`).
    pub async fn serve_behind(prefix: &[&str], dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Self {
        let mut all = vec!["--log-format", "json", "serve"];
        all.extend(args);
        let mut child = behind(prefix, dir, env, &all).spawn().expect("the binary starts");
        let stdout = Kept::new(child.stdout.take().expect("a pipe"));
        let stderr = Kept::new(child.stderr.take().expect("a pipe"));
        let mut program = Self { child, stdout, stderr, proxy: String::new(), admin: String::new() };
        let mut line = None;
        until("the program listens", || {
            let ended = program.child.try_wait().expect("a status");
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", program.stderr.text());
            line = program.lines().into_iter().find(|line| line["message"] == "listening");
            std::future::ready(line.is_some())
        })
        .await;
        let line = line.expect("just seen");
        program.proxy = line["proxy"].as_str().expect("an address").to_owned();
        program.admin = line["admin"].as_str().expect("an address").to_owned();
        program
    }

    /// The log lines so far.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let text = self.stderr.text();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn proxy_address(&self) -> SocketAddr {
        address(&self.proxy)
    }

    pub fn admin_address(&self) -> SocketAddr {
        address(&self.admin)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Asks it to stop, as an orchestrator does, and waits for the end.
    #[cfg(unix)]
    pub async fn stop(mut self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        let mut status = None;
        until("the program ends", || {
            status = self.child.try_wait().expect("a status");
            std::future::ready(status.is_some())
        })
        .await;
        let take = |kept: &mut Kept| {
            if let Some(reader) = kept.reader.take() {
                reader.join().expect("a reader");
            }
            kept.text()
        };
        let (stdout, stderr) = (take(&mut self.stdout), take(&mut self.stderr));
        Ended { code: status.and_then(|status| status.code()), stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(url: &str) -> SocketAddr {
    let text = url.split("://").last().expect("an address");
    text.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}
