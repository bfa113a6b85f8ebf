//! Stopping, and running out of files: the real program, as a process of its own.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

use crate::support::{Answer, Raw, Scripted, Setup, Upstream, sandbox, until};

/// The program at work. Killed when it is dropped.
struct Process {
    child: std::process::Child,
    proxy: SocketAddr,
    log: UnboundedReceiver<serde_json::Value>,
    _dir: tempfile::TempDir,
}

impl Process {
    async fn start(setup: Setup, limits: Option<u64>) -> Self {
        let (dir, config) = setup.write();
        let binary = env!("CARGO_BIN_EXE_maskinporten-proxy");
        let mut command = match limits {
            None => Command::new(binary),
            // A shell of its own lowers the limit: it cannot be done between fork and exec here.
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\"")).arg(binary);
                shell
            }
        };
        command.args(["serve", "--log-format", "json", "--config"]).arg(config);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a started program");
        let stderr = child.stderr.take().expect("a pipe");
        let (lines, mut log) = unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
                // A test that has ended wants no more of it.
                let _ = lines.send(line);
            }
        });
        let listening = next(&mut log, "listening").await;
        let url = listening["proxy"].as_str().expect("an address");
        let proxy = url.strip_prefix("http://").expect("a URL").parse().expect("an address");
        let mut process = Self { child, proxy, log, _dir: dir };
        next(&mut process.log, "token obtained").await;
        process
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a running process");
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    async fn ended(&mut self, within: Duration) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a child") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(within, waiting).await.expect("an end in time")
    }

    async fn get(&self, path: &str) -> crate::support::RawResponse {
        Raw::connect(self.proxy)
            .await
            .exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next log line with this message.
async fn next(log: &mut UnboundedReceiver<serde_json::Value>, message: &str) -> serde_json::Value {
    let mut before = Vec::new();
    let searching = async {
        while let Some(line) = log.recv().await {
            if line["message"].as_str().is_some_and(|text| text.contains(message)) {
                return Some(line);
            }
            before.push(line);
        }
        None
    };
    let found = timeout(crate::support::LIMIT, searching).await.ok().flatten();
    found.unwrap_or_else(|| panic!("{message:?} was not logged; but {before:#?}"))
}

/// An upstream that answers when the test lets it.
async fn waiting() -> (Scripted, tokio::sync::watch::Sender<bool>, UnboundedReceiver<()>) {
    let (go, gone) = tokio::sync::watch::channel(false);
    let (come, came) = unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let (mut gone, come) = (gone.clone(), come.clone());
        async move {
            while peer.head().await.is_some() {
                let _ = come.send(());
                if gone.wait_for(|go| *go).await.is_err() {
                    return;
                }
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
            }
        }
    })
    .await;
    (upstream, go, came)
}

#[tokio::test]
async fn what_is_in_flight_finishes_what_idles_is_closed_and_the_exit_code_is_0() {
    let sandbox = sandbox().await;
    for signal in [Signal::TERM, Signal::INT] {
        let (upstream, go, mut came) = waiting().await;
        let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
        let mut process = Process::start(setup, None).await;
        let mut busy = Raw::connect(process.proxy).await;
        busy.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        came.recv().await.expect("the request is under way");
        let mut idle = Raw::connect(process.proxy).await;
        let refused = idle.exchange("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
        assert_eq!(refused.status, 403);
        let mut silent = Raw::connect(process.proxy).await;
        // So that it is served, and not only in the queue of the kernel.
        let half = "GET / HTTP/1.1\r\n";
        let mut begun = Raw::connect(process.proxy).await;
        begun.write(half).await;

        process.signal(signal);
        next(&mut process.log, "finishing what is under way").await;
        assert!(idle.is_closed().await, "what idles is closed");
        assert!(silent.is_closed().await, "what has said nothing is closed");
        until("new connections are refused", async || {
            tokio::net::TcpStream::connect(process.proxy).await.is_err()
        })
        .await;
        assert!(process.is_running(), "it waits for what is in flight");
        go.send_replace(true);
        let response = busy.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
        assert!(busy.is_closed().await);
        drop(begun);
        let status = process.ended(Duration::from_secs(9)).await;
        assert_eq!(status.code(), Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let sandbox = sandbox().await;
    let (upstream, _go, mut came) = waiting().await;
    let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
    let mut process = Process::start(setup, None).await;
    let mut busy = Raw::connect(process.proxy).await;
    busy.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    came.recv().await.expect("the request is under way");
    process.signal(Signal::TERM);
    next(&mut process.log, "finishing what is under way").await;
    assert!(process.is_running());
    let asked = Instant::now();
    process.signal(Signal::TERM);
    let status = process.ended(Duration::from_secs(9)).await;
    assert!(status.code().is_some(), "ended by itself, not by the signal");
    assert!(asked.elapsed() < Duration::from_secs(8), "sooner than what is in flight has time");
}

#[tokio::test]
async fn a_tunnel_and_an_upgrade_outlive_the_drain_of_requests() {
    let sandbox = sandbox().await;
    let upstream = Scripted::start(|mut peer, _| async move {
        peer.head().await.expect("a head");
        peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
        while let Some(bytes) = peer.some().await {
            peer.write(bytes).await;
        }
    })
    .await;
    let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
    let mut process = Process::start(setup, None).await;
    let mut socket = Raw::connect(process.proxy).await;
    let handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(socket.exchange(handshake).await.status, 101);
    let other = Scripted::start(|mut peer, _| async move {
        while let Some(bytes) = peer.some().await {
            peer.write(bytes).await;
        }
    })
    .await;
    let mut tunnel = Raw::connect(process.proxy).await;
    let authority = other.address;
    tunnel.write(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await;
    let opened = tunnel.until(b"\r\n\r\n").await.expect("a head");
    assert!(opened.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&opened));

    process.signal(Signal::TERM);
    next(&mut process.log, "finishing what is under way").await;
    for open in [&mut socket, &mut tunnel] {
        for word in ["one", "two", "three"] {
            open.write(word).await;
            open.until(word.as_bytes()).await.expect("an echo while it drains");
        }
    }
    drop(socket);
    tunnel.write("four").await;
    tunnel.until(b"four").await.expect("an echo after the upgrade has ended");
    assert!(process.is_running(), "it waits for the tunnel");
    drop(tunnel);
    assert_eq!(process.ended(Duration::from_secs(9)).await.code(), Some(0));
}

#[tokio::test]
async fn running_out_of_files_is_a_pause_and_not_the_end() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
    let mut process = Process::start(setup, Some(64)).await;
    assert_eq!(process.get("/").await.status, 200);
    // More than it has files for; each is accepted, or waits its turn.
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(process.proxy).await;
        raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        crowd.push(raw);
    }
    assert!(process.is_running());
    let before = cpu_time(&process);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = cpu_time(&process) - before;
    assert!(spent < Duration::from_millis(350), "it spins: {spent:?} of half a second");
    drop(crowd);
    until("it serves again", async || {
        let response = timeout(Duration::from_secs(5), process.get("/")).await;
        response.is_ok_and(|response| response.status == 200)
    })
    .await;
    assert!(process.is_running());
    process.signal(Signal::TERM);
    assert_eq!(process.ended(Duration::from_secs(15)).await.code(), Some(0));
}

/// What the process has used of the processor so far (Linux; elsewhere always zero).
fn cpu_time(process: &Process) -> Duration {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id())) else {
        return Duration::ZERO;
    };
    let after_name = stat.rsplit(')').next().expect("fields");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
