//! What the program writes to stderr, by the real binary: JSON for machines, lines for people on
//! a terminal, one for each request, and as much as `RUST_LOG` asks for.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use maskinporten_proxy::sandbox::Sandbox;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::support::raw::LIMIT;
use crate::support::{Answer, Raw, RawResponse, Setup, Upstream, sandbox, until};

const ACCESS: &str = "maskinporten_proxy::access";

/// The binary at work, and what it has said.
struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Program {
    /// `serve` with these arguments and variables, its output in pipes.
    fn start(setup: Setup, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (dir, config) = setup.write();
        let mut command = clean(Command::new(env!("CARGO_BIN_EXE_maskinporten-proxy")));
        command.arg("serve").arg("--config").arg(config).args(arguments);
        Self::run(command, environment, dir)
    }

    /// The same on a terminal of its own, as `script` makes one.
    #[cfg(target_os = "linux")]
    fn start_on_terminal(setup: Setup, arguments: &str, environment: &[(&str, &str)]) -> Self {
        let (dir, config) = setup.write();
        let mut command = clean(Command::new("script"));
        let line = format!(
            "echo pid=$$; exec '{}' serve --config '{}' {arguments}",
            env!("CARGO_BIN_EXE_maskinporten-proxy"),
            config.display()
        );
        command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        Self::run(command, environment, dir)
    }

    fn run(mut command: Command, environment: &[(&str, &str)], dir: tempfile::TempDir) -> Self {
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().expect("stdout"), &lines);
        keep(child.stderr.take().expect("stderr"), &lines);
        Self { child, lines, _dir: dir }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("not poisoned").clone()
    }

    /// The first line that holds all these parts, once there is one.
    async fn says(&self, parts: &[&str]) -> String {
        let find = || self.lines().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
        let waiting = async {
            loop {
                match find() {
                    Some(line) => return line,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, waiting).await;
        found.unwrap_or_else(|_| panic!("no line with {parts:?} in {:#?}", self.lines()))
    }

    /// Every line as JSON.
    fn json(&self) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?} is not JSON"))
        };
        self.lines().iter().map(parse).collect()
    }

    /// The addresses of proxy and admin listener, as JSON tells them.
    async fn addresses(&self) -> (String, String) {
        let line: Value = serde_json::from_str(&self.says(&["\"listening\""]).await).expect("JSON");
        let of = |member: &str| {
            let url = line[member].as_str().unwrap_or_else(|| panic!("no {member} in {line}"));
            url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}")).to_owned()
        };
        (of("proxy"), of("admin"))
    }

    /// Asks it to end, and waits until it has and all of its output is read.
    async fn stop(&mut self, pid: u32) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await.expect("an end in time");
        until("all output is read", || async { Arc::strong_count(&self.lines) == 1 }).await;
        ended.expect("an exit status")
    }

    async fn stop_it(&mut self) -> ExitStatus {
        let pid = self.child.id().expect("it runs");
        self.stop(pid).await
    }
}

/// Without what the machine's environment would change.
fn clean(mut command: Command) -> Command {
    for name in ["RUST_LOG", "NO_COLOR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm");
    command
}

fn keep(output: impl AsyncRead + Unpin + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    tokio::spawn(async move {
        let mut output = BufReader::new(output).lines();
        // A terminal that is gone is an error to its reader; what came before it counts.
        while let Ok(Some(line)) = output.next_line().await {
            lines.lock().expect("not poisoned").push(line.trim_end_matches('\r').to_owned());
        }
    });
}

fn setup(sandbox: &Sandbox, upstream: &Upstream) -> Setup {
    Setup::new(sandbox).route("api", "/api", &upstream.url())
}

async fn get(address: &str, path: &str, headers: &str) -> RawResponse {
    let mut raw = Raw::connect(address.parse().expect("an address")).await;
    raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn in_a_pipe_each_line_is_json_and_each_request_has_one() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    let mut program = Program::start(setup(&sandbox, &upstream), &[], &[]);
    let (proxy, admin) = program.addresses().await;
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    assert_eq!(get(&proxy, "/api/a%2Fb?secret=no", trace).await.status, 200);
    let problem = get(&proxy, "/nowhere", "").await.json();
    program.says(&[ACCESS, "/nowhere"]).await;
    let listed = get(&admin, "/api/requests", "").await.json();
    assert!(program.stop_it().await.success());

    let lines = program.json();
    for line in &lines {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(),
            "{line}"
        );
    }
    let requests: Vec<&Value> = lines.iter().filter(|line| line["target"] == ACCESS).collect();
    assert_eq!(requests.len(), 2, "one line for each: {requests:#?}");
    let (good, bad) = (requests[0], requests[1]);
    for (member, value) in [
        ("level", "INFO"),
        ("message", "request"),
        ("method", "GET"),
        ("path", "/api/a%2Fb"),
        ("route", "api"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(good[member], value, "{good}");
    }
    assert_eq!(
        (&good["status"], &good["failed"], &good["bytes_out"]),
        (&200.into(), &Value::Null, &3.into())
    );
    assert!(good["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{good}");
    assert_eq!(
        (&bad["status"], &bad["failed"], &bad["route"]),
        (&404.into(), &"client".into(), &Value::Null)
    );

    // One identifier, wherever the request is told of.
    assert_eq!(bad["request_id"], problem["instance"]);
    assert_eq!((&bad["request_id"], &good["request_id"]), (&listed[0]["id"], &listed[1]["id"]));
    let last = lines.last().expect("a line");
    assert_eq!(last["message"], "stopped", "the last line is written before the process ends");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_terminal_lines_are_for_people() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    for (environment, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut program = Program::start_on_terminal(setup(&sandbox, &upstream), "", environment);
        let pid = program.says(&["pid="]).await.trim_start_matches("pid=").parse().expect("a pid");
        let listening = plain(&program.says(&["listening"]).await);
        let after = |name: &str| {
            let (_, rest) =
                listening.split_once(name).unwrap_or_else(|| panic!("no {name} in {listening:?}"));
            rest.split(['"', ' '])
                .find(|word| word.starts_with("http"))
                .expect("a URL")
                .trim_start_matches("http://")
                .to_owned()
        };
        let (proxy, admin) = (after("proxy="), after("admin="));
        assert_eq!(get(&admin, "/healthz", "").await.status, 200);
        assert_eq!(get(&proxy, "/api/for-people?secret=no", "").await.status, 200);
        let line = program.says(&["/api/for-people"]).await;
        assert_eq!(line.contains('\x1b'), coloured, "{line:?}");
        let line = plain(&line);
        for part in [" INFO ", "GET /api/for-people 200 ", " ms", "route=api", "request_id="] {
            assert!(line.contains(part), "{part:?} in {line:?}");
        }
        assert!(!line.contains("secret") && !line.starts_with('{'), "{line:?}");
        program.stop(pid).await;
        assert!(program.lines().iter().any(|line| line.contains("stopped")), "{:#?}", program.lines());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_flag_wins_over_what_stderr_is() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    let mut piped = Program::start(setup(&sandbox, &upstream), &["--log-format", "human"], &[]);
    let line = piped.says(&["listening", "proxy=", "admin="]).await;
    assert!(!line.starts_with('{') && !line.contains('\x1b'), "{line:?}");
    piped.stop_it().await;

    let mut terminal = Program::start_on_terminal(setup(&sandbox, &upstream), "--log-format json", &[]);
    let pid = terminal.says(&["pid="]).await.trim_start_matches("pid=").parse().expect("a pid");
    let (proxy, _) = terminal.addresses().await;
    assert_eq!(get(&proxy, "/api/x", "").await.status, 200);
    terminal.stop(pid).await;
    let lines: Vec<String> = terminal.lines().into_iter().filter(|line| !line.starts_with("pid=")).collect();
    assert!(lines.iter().any(|line| line.contains(ACCESS)), "{lines:#?}");
    for line in lines {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line:?}");
    }
}

#[tokio::test]
async fn rust_log_chooses_what_is_said() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    let without_requests = [("RUST_LOG", "info,maskinporten_proxy::access=off")];
    let mut program = Program::start(setup(&sandbox, &upstream), &[], &without_requests);
    let (proxy, admin) = program.addresses().await;
    assert_eq!(get(&proxy, "/api/x", "").await.status, 200);
    until("the page has it", || async { get(&admin, "/api/requests", "").await.text().contains("/api/x") })
        .await;
    program.stop_it().await;
    assert!(program.json().iter().all(|line| line["target"] != ACCESS), "{:#?}", program.lines());

    // Others' finer messages hold headers and bodies, and stay out whatever is asked for.
    let mut program = Program::start(setup(&sandbox, &upstream), &[], &[("RUST_LOG", "trace")]);
    let (proxy, _) = program.addresses().await;
    assert_eq!(get(&proxy, "/api/x", "").await.status, 200);
    program.says(&[ACCESS]).await;
    program.stop_it().await;
    for line in program.json() {
        let own = line["target"].as_str().is_some_and(|target| target.starts_with("maskinporten_proxy"));
        let fine = ["TRACE", "DEBUG"].iter().any(|level| line["level"] == *level);
        assert!(own || !fine, "{line}");
    }
}

#[tokio::test]
async fn a_quiet_program_says_nothing_as_long_as_all_is_well() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    let setup = setup(&sandbox, &upstream);
    let socket = setup.dir().join("proxy.sock");
    let setup = setup.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"unix:{}\"", socket.display()));
    let mut program = Program::start(setup, &[], &[("RUST_LOG", "warn")]);
    until("it serves", || async {
        over_socket(&socket).await.is_some_and(|head| head.starts_with("HTTP/1.1 200"))
    })
    .await;
    program.stop_it().await;
    assert_eq!(program.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn directives_that_are_none_are_a_usage_error() {
    let (sandbox, upstream) = (sandbox().await, Upstream::always(Answer::ok("hei")).await);
    let broken = [("RUST_LOG", "maskinporten_proxy=loudly")];
    let mut program = Program::start(setup(&sandbox, &upstream), &[], &broken);
    let ended = tokio::time::timeout(LIMIT, program.child.wait()).await.expect("an end").expect("a status");
    assert_eq!(ended.code(), Some(2));
    program.says(&["RUST_LOG", "loudly"]).await;
}

/// The head of the answer to a GET over a Unix socket, once somebody listens there.
async fn over_socket(path: &Path) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::connect(path).await.ok()?;
    stream.write_all(b"GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// A line without its colours.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    text + rest
}
