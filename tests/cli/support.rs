//! What the tests of the command line stand on: a folder with a configuration, the real binary
//! with an environment of its own, and snapshots of what it says.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use maskinporten_proxy::sandbox::{CertificateSpec, Sandbox, SandboxOptions, TestCa};
use maskinporten_proxy::secret::Secret;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::runtime::Runtime;

/// What no test should ever need; a program that hangs fails with its name.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the sandboxes and other servers of these tests run.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// The key that all sandboxes know, in PEM.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let pem = std::fs::read_to_string(fixture("pkcs8.pem")).expect("a fixture");
    let end = "-----END PRIVATE KEY-----";
    let start = pem.find("-----BEGIN PRIVATE KEY-----").expect("a key");
    let stop = pem.find(end).expect("its end") + end.len();
    format!("{}\n", &pem[start..stop])
});

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

/// A sandbox that knows the fixtures' key.
pub(crate) fn sandbox() -> Sandbox {
    let options = SandboxOptions { key: Some(Secret::new(KEY.clone())), ..SandboxOptions::default() };
    RUNTIME.block_on(Sandbox::start(options)).expect("a sandbox")
}

/// A folder to run the program in.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    hidden: Vec<(String, String)>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), env: Vec::new(), hidden: Vec::new() }
    }

    /// With a proxy.toml.
    pub(crate) fn with(config: &str) -> Self {
        Self::new().file("proxy.toml", config)
    }

    /// A client of the test environment whose key is `key` (the lines of its table), and a route.
    pub(crate) fn with_key(key: &str) -> Self {
        Self::with(&offline_config(key))
    }

    /// A client of `sandbox` with its registered key; `routes` is TOML.
    pub(crate) fn of(sandbox: &Sandbox, routes: &str) -> Self {
        Self::of_changed(sandbox, routes, |config| config)
    }

    /// The same, with the configuration changed.
    pub(crate) fn of_changed(sandbox: &Sandbox, routes: &str, change: impl FnOnce(String) -> String) -> Self {
        let credentials = sandbox.credentials();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"off\"\n\n[clients.test]\nissuer = \"{issuer}\"\n\
             token_endpoint = \"{issuer}token\"\naltinn = \"{issuer}\"\nclient_id = \"{}\"\n\n\
             [clients.test.key]\nfile = \"key.pem\"\nkid = \"{}\"\n\n{routes}",
            credentials.client_id,
            credentials.kid,
            issuer = sandbox.issuer(),
        );
        // Lives are counted from before the token was asked for.
        Self::with(&change(config))
            .file("key.pem", &KEY)
            .hide_port(sandbox.addr().port(), "PORT")
            .hide(" 118 s", " 119 s")
            .hide(" 1801 s", " 1800 s")
            .hide(" 1799 s", " 1800 s")
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.bytes(name, content.as_bytes())
    }

    pub(crate) fn bytes(self, name: &str, content: &[u8]) -> Self {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a written file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        self
    }

    /// A copy of one of tests/keystores, under its name.
    pub(crate) fn keystore(self, name: &str) -> Self {
        let content = std::fs::read(fixture(name)).expect("a fixture");
        self.bytes(name, &content)
    }

    /// The first `length` bytes of one of tests/keystores.
    pub(crate) fn cut(self, name: &str, length: usize) -> Self {
        let content = std::fs::read(fixture(name)).expect("a fixture");
        self.bytes(name, &content[..length])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Snapshots have `shown` in the place of `text`.
    pub(crate) fn hide(mut self, text: &str, shown: &str) -> Self {
        self.hidden.push((text.to_owned(), shown.to_owned()));
        self
    }

    /// The same for a port behind its colon.
    pub(crate) fn hide_port(self, port: u16, shown: &str) -> Self {
        self.hide(&format!(":{port}"), &format!(":{shown}"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maskinporten-proxy"));
        command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(self.dir.path()).args(arguments);
        // What a process needs on some platforms, and nothing that would be a setting.
        for name in ["PATH", "SystemRoot", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading is as good.
            let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        }
        let stdout = read(child.stdout.take().expect("a pipe"));
        let stderr = read(child.stderr.take().expect("a pipe"));
        let code = wait(&mut child, arguments);
        Ran {
            command: format!("maskinporten-proxy {}", arguments.join(" ")).trim_end().to_owned(),
            code,
            stdout: stdout.join().expect("a read"),
            stderr: stderr.join().expect("a read"),
        }
    }

    fn shown(&self, text: &str) -> String {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let mut text = text.replace(&dir, "DIR");
        for (hidden, shown) in &self.hidden {
            text = text.replace(hidden, shown);
        }
        normalised(&text)
    }
}

/// A proxy.toml with a client of the test environment and one route.
pub(crate) fn offline_config(key: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"off\"\n\n[clients.test]\nenvironment = \"test\"\n\
         client_id = \"238259d7-f0ab-4bd5-b253-0f0159375096\"\n\n[clients.test.key]\n{key}\n\n{ROUTE}"
    )
}

pub(crate) const ROUTE: &str = "[[routes]]\nname = \"api\"\npath = \"/api\"\n\
                                upstream = \"https://api.example.no\"\nscopes = [\"demo:api\"]\n";

/// The fixtures' key with a certificate of `ca` for `spec`, in PEM.
pub(crate) fn key_with_certificate(ca: &TestCa, spec: &CertificateSpec) -> String {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::KeyPair;
    use aws_lc_rs::signature::KeyPair as _;
    let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key") else {
        panic!("the fixture is PKCS#8");
    };
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key");
    let mut pem = KEY.clone();
    for der in ca.issue(spec, spki.as_ref()).expect("a certificate") {
        pem.push_str(&certificate_pem(&der));
    }
    pem
}

fn certificate_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// What the program did.
pub(crate) struct Ran {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Holds it against tests/cli/NAME.txt; `BLESS=1` writes the file. Gives what is wrong.
    pub(crate) fn compare(&self, name: &str, folder: &Folder) -> Option<String> {
        for text in [&self.stdout, &self.stderr] {
            assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{name}: {text}");
            assert!(!text.contains("PRIVATE KEY") && !text.contains("eyJ"), "{name}: {text}");
        }
        let mut text = format!("$ {}exit code {}\n", folder.shown(&self.command), self.code);
        for (stream, said) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !said.is_empty() {
                text.push_str(&format!("--- {stream}\n{}", folder.shown(said)));
            }
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(format!("{name}.txt"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).expect("a written snapshot");
            return None;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        (expected.replace("\r\n", "\n") != text)
            .then(|| format!("{name}: expected\n{expected}\nbut got\n{text}\n(BLESS=1 accepts it)"))
    }
}

fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a read");
        String::from_utf8(bytes).expect("UTF-8")
    })
}

fn wait(child: &mut Child, arguments: &[&str]) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code().expect("an exit code, not a signal");
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("still running: {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Takes out what differs from run to run: ids, times, and the system's words about names.
fn normalised(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = replaced(line, 36, "UUID", is_uuid);
        let line = replaced(&line, 32, "ID", |word| word.bytes().all(|b| b.is_ascii_hexdigit()));
        between(&line, "(failed to lookup address information: ", ")", "(SYSTEM'S WORDS)")
    });
    lines.map(|line| line + "\n").collect()
}

fn is_uuid(word: &str) -> bool {
    word.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// Every run of exactly `length` bytes between non-alphanumeric ones for which `is` holds.
fn replaced(line: &str, length: usize, by: &str, is: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < line.len() {
        let free = |at: usize| !line.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
        let before = at == 0 || free(at - 1);
        match line.get(at..at + length) {
            Some(word) if before && free(at + length) && is(word) => {
                text.push_str(by);
                at += length;
            }
            _ => {
                let next = line[at..].chars().next().map_or(1, char::len_utf8);
                text.push_str(&line[at..at + next]);
                at += next;
            }
        }
    }
    text
}

fn between(line: &str, start: &str, end: &str, by: &str) -> String {
    let found = line.find(start).and_then(|from| Some((from, from + line[from..].find(end)? + end.len())));
    match found {
        Some((from, to)) => format!("{}{by}{}", &line[..from], &line[to..]),
        None => line.to_owned(),
    }
}
