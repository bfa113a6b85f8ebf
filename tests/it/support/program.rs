//! The real binary as a process of its own: for what an environment or a log file shows.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{LIMIT, Raw, RawResponse};

/// `maskinporten-proxy serve` at work. Killed when it is dropped.
pub struct Program {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    log: Arc<Mutex<String>>,
    _child: Child,
}

impl Program {
    /// Serves the configuration with these variables and no others, and waits until it listens.
    pub async fn serve(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskinporten-proxy"));
        command.args(["--log-format", "json", "serve", "--config"]).arg(config);
        command.env_clear().envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (keep, (found, addresses)) = (Arc::clone(&log), tokio::sync::oneshot::channel());
        tokio::spawn(async move {
            let mut found = Some(found);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(addresses) = addresses_in(&line)
                    && let Some(found) = found.take()
                {
                    let _ = found.send(addresses);
                }
                let mut log = keep.lock().expect("not poisoned");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let listening = timeout(LIMIT, addresses).await.expect("in time");
        let (proxy, admin) =
            listening.unwrap_or_else(|_| panic!("it ended: {}", log.lock().expect("not poisoned")));
        Self { proxy, admin, log, _child: child }
    }

    /// A GET through the proxy; `headers` are whole lines.
    pub async fn get(&self, path: &str, headers: &str) -> RawResponse {
        let mut raw = Raw::connect(self.proxy).await;
        raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.proxy)).await
    }

    /// A GET on the admin listener.
    pub async fn admin_get(&self, path: &str) -> RawResponse {
        let mut raw = Raw::connect(self.admin).await;
        raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin)).await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }
}

fn addresses_in(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.strip_prefix("http://")?.parse().ok();
    (line["message"] == "listening").then(|| Some((address("proxy")?, address("admin")?)))?
}
