//! What the tests stand on: the app on a thread of its own, upstreams that keep what they get,
//! clients that speak bytes, and a sandbox that judges grants.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each area uses its own part")]

pub mod admin;
pub mod certificates;
pub mod h2;
pub mod numbers;
pub mod peer;
pub mod program;
pub mod prometheus;
pub mod raw;
pub mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use maskinporten_proxy::app::{self, Options, Running};
use maskinporten_proxy::clock::Clock;
use maskinporten_proxy::config::{self, Listen, LoadRequest, Overrides};
use maskinporten_proxy::net::{Outcome, Patience};
use maskinporten_proxy::sandbox::{Sandbox, SandboxOptions};
use maskinporten_proxy::secret::Secret;
use maskinporten_proxy::telemetry::AccessLog;
use tokio::sync::oneshot;

pub use self::h2::{H2Client, H2Upstream};
pub use certificates::Authority;
pub use peer::{Peer, Scripted};
pub use raw::{LIMIT, Raw, RawResponse};
pub use upstream::{Answer, Seen, Upstream};

/// One RSA key for all sandboxes of a test run: making one takes longer than most tests.
static KEY: LazyLock<Secret<String>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores/pkcs8.pem");
    let pem = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let end = "-----END PRIVATE KEY-----";
    let start = pem.find("-----BEGIN PRIVATE KEY-----").expect("a key");
    let stop = pem.find(end).expect("its end") + end.len();
    Secret::new(format!("{}\n", &pem[start..stop]))
});

/// A sandbox on a free port, with the shared key.
pub async fn sandbox() -> Sandbox {
    sandbox_with(SandboxOptions::default()).await
}

pub async fn sandbox_with(options: SandboxOptions) -> Sandbox {
    let options = SandboxOptions { key: Some(KEY.clone()), ..options };
    Sandbox::start(options).await.expect("a sandbox")
}

/// A configuration under construction: a folder with the sandbox's key and a proxy.toml.
pub struct Setup {
    dir: tempfile::TempDir,
    text: String,
    patience: Patience,
}

impl Setup {
    /// The sandbox's client, named `test`, free ports, two threads.
    pub fn new(sandbox: &Sandbox) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let credentials = sandbox.credentials();
        let key = dir.path().join("key.pem");
        std::fs::write(&key, credentials.key_pem.expose()).expect("a written key");
        private(&key);
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 2\n\n\
             [clients.test]\nissuer = \"{}\"\ntoken_endpoint = \"{}\"\naltinn = \"{}\"\nclient_id = \"{}\"\n\
             key = {{ file = \"key.pem\", kid = \"{}\" }}\n",
            sandbox.issuer(),
            sandbox.token_endpoint(),
            sandbox.altinn_url(),
            credentials.client_id,
            credentials.kid,
        );
        Self { dir, text, patience: Patience::default() }
    }

    /// A route that asks for the scope of the sandbox's demonstration API.
    pub fn route(self, name: &str, path: &str, upstream: &str) -> Self {
        self.route_with(name, path, upstream, "")
    }

    /// The same with more keys.
    pub fn route_with(self, name: &str, path: &str, upstream: &str, more: &str) -> Self {
        let scopes = if more.contains("scopes") { "" } else { "scopes = [\"demo:api\"]\n" };
        self.with(&format!(
            "\n[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"{upstream}\"\n{scopes}{more}\n"
        ))
    }

    /// More text at the end.
    pub fn with(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// More text before the first table: keys of the top level.
    pub fn with_top(mut self, text: &str) -> Self {
        self.text = format!("{text}\n{}", self.text);
        self
    }

    /// Another value in place of one that is there.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from:?} is not in the configuration");
        self.text = self.text.replace(from, to);
        self
    }

    /// Less time for clients and upstreams than the program gives them.
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the configuration, for another process to read; the folder goes when it is dropped.
    pub fn write(self) -> (tempfile::TempDir, PathBuf) {
        let config = self.dir.path().join("proxy.toml");
        std::fs::write(&config, &self.text).expect("a written configuration");
        (self.dir, config)
    }

    /// Starts the app and waits until the tokens that can be fetched ahead are held.
    pub async fn start(self) -> App {
        let app = self.start_cold().await;
        app.running.tokens().await.expect("tokens");
        app
    }

    /// Starts the app and waits for no token.
    pub async fn start_cold(self) -> App {
        App::start(self.dir, &self.text, Clock::system(), self.patience).await
    }

    /// The same with clocks under the test's control.
    pub async fn start_cold_with(self, clock: Clock) -> App {
        App::start(self.dir, &self.text, clock, self.patience).await
    }
}

/// The app at work. Stopped when it is dropped.
pub struct App {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub running: Running,
    pub config: PathBuf,
    pub dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    abort: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Outcome>>,
}

impl App {
    async fn start(dir: tempfile::TempDir, text: &str, clock: Clock, patience: Patience) -> Self {
        let config = dir.path().join("proxy.toml");
        std::fs::write(&config, text).expect("a written configuration");
        let request = LoadRequest {
            files: vec![config.clone()],
            flags: Overrides::default(),
            env: BTreeMap::new(),
            cwd: dir.path().to_owned(),
        };
        let load: app::Load = Arc::new(move || config::load(&request));
        let options = Options {
            clock,
            access_log: AccessLog::off(),
            watch_interval: Duration::from_millis(20),
            patience,
            reload_on_hangup: true,
        };
        let (started, running) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (abort, aborted) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let bound = app::bind(load, options).await.unwrap_or_else(|error| panic!("{error:#?}"));
                let _ = started.send(bound.running());
                // A sender that is gone leaves the program running.
                let stop = async {
                    if stopped.await.is_err() {
                        std::future::pending::<()>().await
                    }
                };
                let abort = async {
                    if aborted.await.is_err() {
                        std::future::pending::<()>().await
                    }
                };
                bound.run(stop, abort).await.expect("a run to its end")
            })
        });
        let running = running.await.expect("a start");
        let tcp = |listen: &Listen| match listen {
            Listen::Tcp(address) => *address,
            Listen::Unix(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        Self {
            proxy: tcp(&running.addresses.proxy),
            admin: running.addresses.admin.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 0)), tcp),
            running,
            config,
            dir,
            stop: Some(stop),
            abort: Some(abort),
            thread: Some(thread),
        }
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.proxy).await
    }

    /// One request on a connection of its own, by its whole text.
    pub async fn raw(&self, request: &str) -> RawResponse {
        let mut raw = self.connect().await;
        raw.write(request).await;
        raw.response_to(request.split(' ').next().expect("a method")).await
    }

    /// A GET as a plain client makes it.
    pub async fn get(&self, path: &str) -> RawResponse {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.proxy)).await
    }

    /// A GET on the admin listener.
    pub async fn admin_get(&self, path: &str) -> RawResponse {
        let mut raw = Raw::connect(self.admin).await;
        raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin)).await
    }

    /// Asks the app to stop, as SIGTERM does, without waiting.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Asks the app to end at once, as a second signal does.
    pub fn abort(&mut self) {
        if let Some(abort) = self.abort.take() {
            let _ = abort.send(());
        }
    }

    /// Waits for the end; the app must have been asked to stop.
    pub async fn ended(&mut self) -> Outcome {
        let thread = self.thread.take().expect("not waited for before");
        tokio::task::spawn_blocking(move || thread.join().expect("no panic")).await.expect("no panic")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.begin_stop();
        self.abort();
        if let Some(thread) = self.thread.take() {
            // A panic in the app must fail the test, but not while it is failing already.
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the app ended without a panic");
            }
        }
    }
}

/// Polls a condition until it holds; fails with its name when it does not come to.
pub async fn until<F: Future<Output = bool>>(name: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never came to hold: {name}"));
}

#[cfg(unix)]
pub fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

#[cfg(not(unix))]
pub fn private(_: &Path) {}

/// Sees to it that the process may have `count` files open, where the system lets it.
#[cfg(unix)]
pub fn open_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let wanted = limits.maximum.map_or(count, |maximum| maximum.min(count));
    if limits.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limits }).expect("more files");
    }
}

#[cfg(not(unix))]
pub fn open_files(_: u64) {}
