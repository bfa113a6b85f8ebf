//! SIGHUP, sent to the real program.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::{replace, route};
use crate::support::{LIMIT, Raw, Setup, sandbox};

/// The program, and its log line by line.
struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// The next line of the log with this message.
    async fn logged(&mut self, message: &str) -> Value {
        let found = async {
            while let Some(line) = self.log.next_line().await.expect("a readable log") {
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                if line["message"].as_str().is_some_and(|said| said.starts_with(message)) {
                    return line;
                }
            }
            panic!("the log ended before {message:?}");
        };
        tokio::time::timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("never logged: {message:?}"))
    }

    fn hang_up(&self) {
        let pid = Pid::from_raw(self.child.id().expect("it runs").try_into().unwrap()).unwrap();
        kill_process(pid, Signal::HUP).expect("a signal");
    }
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_anew() {
    let sandbox = sandbox().await;
    let (_dir, config) = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).write();
    let mut child = Command::new(env!("CARGO_BIN_EXE_maskinporten-proxy"))
        .args(["serve", "--log-format", "json", "--config"])
        .arg(&config)
        .env_clear()
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a start");
    let log = BufReader::new(child.stderr.take().expect("its log")).lines();
    let mut program = Program { child, log };
    let listening = program.logged("listening").await;
    let proxy: std::net::SocketAddr =
        listening["proxy"].as_str().and_then(|url| url.strip_prefix("http://")).unwrap().parse().unwrap();

    // Nothing has changed, and yet it is read.
    program.hang_up();
    let line = program.logged("configuration reloaded").await;
    assert_eq!(line["because"], "SIGHUP");

    let good = std::fs::read_to_string(&config).unwrap();
    replace(&config, &(good.clone() + &route("more", &sandbox.echo_url(), "demo:api")));
    program.hang_up();
    let line = program.logged("configuration reloaded").await;
    assert!(line["change"].as_str().unwrap().contains("routes added: more"), "{line}");
    let get = format!("GET /more/x HTTP/1.1\r\nHost: {proxy}\r\n\r\n");
    assert_eq!(Raw::connect(proxy).await.exchange(&get).await.status, 200);

    replace(&config, &good.replace("scopes", "scoeps"));
    program.hang_up();
    let line = program.logged("the new configuration is not used").await;
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("did you mean `scopes`?"), "{line}");
    assert_eq!(Raw::connect(proxy).await.exchange(&get).await.status, 200, "the old one stays");

    replace(&config, &good.replacen("127.0.0.1:0", "127.0.0.1:1", 1));
    program.hang_up();
    program.logged("a restart is needed for changes of listen").await;

    let pid = Pid::from_raw(program.child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(20), program.child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
