//! Known secrets go in; nothing of them comes out: not in a log at TRACE, not in an answer, a
//! page, a metric, a command's output, or `Debug`. What the secrets are meant to reach, the token
//! endpoint and the upstreams, says them back, which shows that the search would have found them.

mod search;
mod world;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::program::{Ended, Program, run_with_input};
use crate::support::{App, Raw, Setup, Upstream, private, sandbox, until};

use self::search::Secrets;
use self::world::{ALTINN, Grants, OPAQUE};

/// The password of the keystore with a Norwegian one, from the fixtures.
const STORE_PASSWORD: &str = "bl\u{e5}b\u{e6}r\u{20ac}";
const INBOUND_PASSWORD: &str = "kanari-passord: \u{e5}pne deg";
/// Synthetic numbers, the month plus 80.
const PERSON: &str = "17912099997";
const FIXED_PERSON: &str = "05854910045";

/// Routes whose token is refused or cannot be had, by the endpoint's answer.
const FAILING: &[&str] = &[
    "refused",
    "html",
    "other-member",
    "bad-characters",
    "odd-life",
    "odd-type",
    "redirect",
    "unavailable",
    "garbage",
    "drop",
];

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

/// The lines of a PEM's base64, the first of which is the same for all keys of a kind.
fn key_lines() -> Vec<String> {
    let pem = std::fs::read_to_string(fixture("key-only.pem")).expect("a key");
    let lines = pem.lines().filter(|line| !line.contains("-----") && line.len() == 64);
    lines.skip(1).map(str::to_owned).collect()
}

/// The configuration of the world; `maskinporten` and the APIs are where the secrets may go.
struct House {
    dir: tempfile::TempDir,
    grants: Grants,
    maskinporten: Upstream,
    api: Upstream,
}

impl House {
    async fn new() -> Self {
        let grants = Grants::default();
        let maskinporten = world::maskinporten(Arc::clone(&grants)).await;
        let api = world::api().await;
        let (secure, authority) = world::secure_api().await;
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::copy(fixture("key-only.pem"), dir.path().join("key.pem")).expect("a key");
        std::fs::copy(fixture("norwegian-password.p12"), dir.path().join("key.p12")).expect("a key");
        std::fs::write(dir.path().join("ca.pem"), authority).expect("a file");
        for name in ["key.pem", "key.p12"] {
            private(&dir.path().join(name));
        }
        let (issuer, api_url) = (maskinporten.url(), api.url());
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"0.0.0.0:0\"\nthreads = 2\n\n\
             [inbound]\npassword = {{ env = \"KANARI_PASSWORD\" }}\n\n\
             [upstream]\nca_file = \"ca.pem\"\n\n\
             [clients.pem]\nissuer = \"{issuer}/\"\ntoken_endpoint = \"{issuer}/token\"\naltinn = \"{issuer}\"\n\
             client_id = \"pem-client\"\nkey = {{ file = \"key.pem\", kid = \"kid\" }}\n\n\
             [clients.store]\nissuer = \"{issuer}/\"\ntoken_endpoint = \"{issuer}/token\"\n\
             client_id = \"store-client\"\nkey = {{ file = \"key.p12\", password = \"{STORE_PASSWORD}\" }}\n"
        );
        // A client that is refused is not asked for again at once, so each has its own.
        for name in FAILING {
            text.push_str(&format!(
                "\n[clients.{name}]\nissuer = \"{issuer}/\"\ntoken_endpoint = \"{issuer}/token\"\n\
                 client_id = \"{name}\"\nkey = {{ file = \"key.pem\", kid = \"kid\" }}\n"
            ));
        }
        let mut route = |name: &str, client: &str, upstream: &str, more: &str| {
            let scope = if FAILING.contains(&name) { name } else { "fine" };
            text.push_str(&format!(
                "\n[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nclient = \"{client}\"\n\
                 upstream = \"{upstream}\"\nscopes = [\"kanari:{scope}\"]\n{more}\n"
            ));
        };
        route("fine", "pem", &api_url, "");
        route("store", "store", &api_url, "");
        route("secure", "pem", &format!("https://localhost:{}", secure.port()), "");
        route("altinn", "pem", &api_url, "exchange = \"altinn\"");
        route("person", "pem", &api_url, "pid = { header = \"X-Pid\" }");
        route(
            "allowed",
            "pem",
            &api_url,
            &format!("pid = {{ header = \"X-Pid\", allow = [\"{FIXED_PERSON}\"] }}"),
        );
        route("fixed", "pem", &api_url, &format!("pid = \"{FIXED_PERSON}\""));
        route("reads", "pem", &api_url, "access = \"read-only\"");
        route("nobody", "pem", "http://127.0.0.1:1", "");
        for name in FAILING {
            route(name, name, &api_url, "pid = { header = \"X-Pid\" }");
        }
        let house = Self { dir, grants, maskinporten, api };
        house.write(&text);
        house
    }

    fn write(&self, text: &str) {
        let path = self.dir.path().join("proxy.toml");
        // In one step, as an editor does it: half a file would be one more broken one.
        std::fs::write(path.with_extension("new"), text).expect("a configuration");
        private(&path.with_extension("new"));
        std::fs::rename(path.with_extension("new"), path).expect("a configuration");
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("proxy.toml")).expect("a configuration")
    }

    /// All that must not come out, the grants so far included.
    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("the token", OPAQUE);
        secrets.add("Altinn's token", ALTINN);
        secrets.add("the keystore's password", STORE_PASSWORD);
        secrets.add("the inbound password", INBOUND_PASSWORD);
        secrets.add("a person's number", PERSON);
        secrets.add("the configured person's number", FIXED_PERSON);
        for line in key_lines() {
            secrets.add("the key", &line);
            // What the base64 stands for, too.
            let bytes = BASE64_STANDARD.decode(&line).expect("base64");
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            secrets.add("the key's bytes", &hex);
        }
        let grants = self.grants.lock().expect("not poisoned");
        assert!(grants.len() > FAILING.len(), "only {} grants", grants.len());
        for grant in grants.iter() {
            // The header is the same for all and holds nothing; payload and signature do.
            let (_, rest) = grant.split_once('.').expect("a JWT");
            secrets.add("a grant", rest);
        }
        secrets
    }
}

/// What came out, by where.
#[derive(Default)]
struct Outputs(Vec<(String, Vec<u8>)>);

impl Outputs {
    fn take(&mut self, place: &str, text: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn command(&mut self, words: &str, ended: &Ended) {
        self.take(&format!("`{words}`, stdout"), ended.stdout.clone());
        self.take(&format!("`{words}`, stderr"), ended.stderr.clone());
    }

    fn assert_clean(&self, secrets: &Secrets) {
        for (place, text) in &self.0 {
            if let Some(found) = secrets.find(text) {
                panic!("{place} holds {found}");
            }
        }
    }
}

#[tokio::test]
async fn a_running_proxy_says_nothing_of_its_secrets_to_log_answers_or_pages() {
    let house = House::new().await;
    let mut outputs = Outputs::default();
    let env = [("KANARI_PASSWORD", INBOUND_PASSWORD), ("RUST_LOG", "trace")];
    let program = Program::serve(house.dir.path(), &env, &[]).await;
    let basic = BASE64_STANDARD.encode(format!("anyone:{INBOUND_PASSWORD}"));
    let mut said = Vec::new();

    // What is served, or fails on the way.
    let pid = format!("X-Pid: {PERSON}\r\n");
    let known = format!("Proxy-Authorization: Basic {basic}\r\n");
    for (target, fields) in [
        ("/fine/x", ""),
        ("/store/x", ""),
        ("/secure/x", ""),
        ("/altinn/x", ""),
        ("/person/x", pid.as_str()),
        ("/fixed/x", ""),
        ("/fine/location", ""),
        ("/fine/unauthorized", ""),
        ("/fine/error", ""),
        ("/fine/broken", ""),
        ("/fine/chunk", ""),
    ] {
        let answer = send(&program, &format!("GET {target} HTTP/1.1"), &format!("{known}{fields}")).await;
        assert!(!answer.contains("urn:maskinporten-proxy"), "{target}: {answer}");
        // These are the API's own words, and the positive control.
        said.push((target, answer));
    }
    for target in ["garbage", "line", "length", "switch", "closes"] {
        let line = format!("GET /fine/{target} HTTP/1.1");
        let upgrade = format!("{known}Connection: upgrade, close\r\nUpgrade: websocket\r\n");
        let answer = send(&program, &line, &upgrade).await;
        assert!(answer.contains("urn:maskinporten-proxy"), "{target}: {answer}");
        outputs.take(&format!("the answer to {line}"), answer);
    }
    // A body whose digest or error could be told.
    let posted = format!("{known}Content-Length: {}\r\n", OPAQUE.len());
    let line = format!("POST /reads/x?token={OPAQUE}&fnr={PERSON}&pid={FIXED_PERSON} HTTP/1.1");
    outputs.take(&line.replace(OPAQUE, "…"), send(&program, &line, &posted).await);

    // What is refused.
    for (line, fields) in [
        ("GET /fine/x HTTP/1.1", String::new()),
        (
            "GET /fine/x HTTP/1.1",
            format!("Proxy-Authorization: Basic {}x\r\n", BASE64_STANDARD.encode(OPAQUE)),
        ),
        ("GET /fine/x HTTP/1.1", format!("Authorization: Bearer {OPAQUE}\r\n")),
        ("GET /fine/x HTTP/1.1", format!("{known}Origin: http://evil.com\r\n")),
        ("GET /fine/x HTTP/1.1", format!("{known}Host: second\r\n")),
        ("GET /fine/x HTTP/1.1", format!("{known}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n")),
        ("GET /fine/x HTTP/1.1", format!("{known}Bad Header: {OPAQUE}\r\n")),
        ("GET /fine/%2e%2e/x HTTP/1.1", known.clone()),
        ("GET /nowhere HTTP/1.1", known.clone()),
        ("GET /nobody/x HTTP/1.1", known.clone()),
        ("TRACE /fine/x HTTP/1.1", known.clone()),
        ("GET /person/x HTTP/1.1", known.clone()),
        ("GET /person/x HTTP/1.1", format!("{known}{pid}X-Pid: {FIXED_PERSON}\r\n")),
        ("GET /person/x HTTP/1.1", format!("{known}X-Pid: {PERSON}0\r\n")),
        ("GET /allowed/x HTTP/1.1", format!("{known}{pid}")),
        ("DELETE /reads/x HTTP/1.1", known.clone()),
        ("GET http://169.254.169.254/ HTTP/1.1", known.clone()),
        ("CONNECT 169.254.169.254:443 HTTP/1.1", known.clone()),
    ] {
        let answer = send(&program, line, &fields).await;
        assert!(answer.contains("urn:maskinporten-proxy"), "{line}: {answer}");
        outputs.take(&format!("the answer to {line}"), answer);
    }
    for name in FAILING {
        let line = format!("GET /{name}/x HTTP/1.1");
        let answer = send(&program, &line, &format!("{known}{pid}")).await;
        assert!(answer.contains("urn:maskinporten-proxy:token-"), "{name}: {answer}");
        outputs.take(&format!("the answer to {line}"), answer);
    }

    // A configuration with secrets where they do not belong is reported, and the old one stays.
    let good = house.text();
    for broken in [
        good.replace(&format!("password = \"{STORE_PASSWORD}\""), &format!("pasword = \"{STORE_PASSWORD}\"")),
        good.replace(
            &format!("password = \"{STORE_PASSWORD}\""),
            &format!("password = [\"{STORE_PASSWORD}\"]"),
        ),
        good.replace("{ env = \"KANARI_PASSWORD\" }", &format!("{{ value = \"{INBOUND_PASSWORD}\" }}")),
        good.replace("{ env = \"KANARI_PASSWORD\" }", &format!("\"{INBOUND_PASSWORD}")),
        good.replace(&format!("pid = \"{FIXED_PERSON}\""), &format!("pid = \"{FIXED_PERSON}1\"")),
        good.replace(&format!("pid = \"{FIXED_PERSON}\""), &format!("pid = {FIXED_PERSON}")),
        good.replace(STORE_PASSWORD, &format!("{STORE_PASSWORD}-wrong")),
    ] {
        assert_ne!(broken, good);
        let before = failures(&program);
        house.write(&broken);
        #[cfg(unix)]
        program.signal(rustix::process::Signal::HUP);
        until("the broken configuration is reported", || std::future::ready(failures(&program) > before))
            .await;
        outputs.take("the page with a broken configuration", page(&program, "/", &basic).await);
        outputs.take("the status with a broken configuration", page(&program, "/api/status", &basic).await);
    }
    house.write(&good);
    for path in ["/", "/api/status", "/api/requests", "/metrics", "/readyz", "/healthz", "/nothing"] {
        outputs.take(&format!("the page {path}"), page(&program, path, &basic).await);
    }
    outputs.take("the page without a password", page(&program, "/", "eDp4").await);
    outputs.take("the events", events(&program, &basic, &known).await);

    let ended = program.stop().await;
    assert!(
        ended.stderr.lines().count() > 50 && ended.stderr.contains("\"level\":\"TRACE\"")
            || ended.stderr.contains("\"level\":\"DEBUG\""),
        "the log was kept"
    );
    outputs.command("serve", &ended);
    let secrets = house.secrets();
    outputs.assert_clean(&secrets);

    // The positive control: each API says what it was sent.
    for (target, secret) in [
        ("/fine/x", OPAQUE),
        ("/store/x", OPAQUE),
        ("/secure/x", OPAQUE),
        ("/person/x", OPAQUE),
        ("/fixed/x", OPAQUE),
    ] {
        let (_, answer) = said.iter().find(|(place, _)| *place == target).expect("an answer");
        assert!(answer.contains(secret), "{target}: {answer}");
        assert!(
            secrets.find(answer.as_bytes()).is_some_and(|found| found.starts_with("the token")),
            "{target}"
        );
    }
    let (_, altinn) = said.iter().find(|(place, _)| *place == "/altinn/x").expect("an answer");
    assert!(secrets.find(altinn.as_bytes()).is_some_and(|found| found.starts_with("Altinn's")), "{altinn}");
    let sent = house.maskinporten.seen();
    assert!(sent.iter().all(|seen| seen.body.is_empty() || secrets.find(&seen.body).is_some()));
    assert!(house.api.seen().iter().all(|seen| !seen.head.contains(PERSON) && !seen.head.contains(&basic)));
}

/// How often a reload has failed.
fn failures(program: &Program) -> usize {
    let is_failure = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("the new configuration is not used"))
    };
    program.lines().iter().filter(|line| is_failure(line)).count()
}

/// One request on the proxy, and all of its answer.
async fn send(program: &Program, line: &str, fields: &str) -> String {
    let address = program.proxy_address();
    let target = line.split(' ').nth(1).expect("a target");
    let host = match target.strip_prefix("http://") {
        Some(rest) => rest.trim_end_matches('/').to_owned(),
        None if line.starts_with("CONNECT") => target.to_owned(),
        None => address.to_string(),
    };
    let mut raw = Raw::connect(address).await;
    let close = if fields.contains("Connection:") { "" } else { "Connection: close\r\n" };
    raw.write(format!("{line}\r\nHost: {host}\r\n{close}{fields}\r\n")).await;
    if line.starts_with("POST") {
        raw.write(OPAQUE).await;
    }
    String::from_utf8_lossy(&raw.rest().await).into_owned()
}

/// A page of the admin listener, head and all.
async fn page(program: &Program, path: &str, basic: &str) -> String {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], program.admin_address().port()));
    let mut raw = Raw::connect(address).await;
    let fields = format!("Host: localhost\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n");
    raw.write(format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).await;
    String::from_utf8_lossy(&raw.rest().await).into_owned()
}

/// What the stream of events says of one request.
async fn events(program: &Program, basic: &str, known: &str) -> String {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], program.admin_address().port()));
    let mut raw = Raw::connect(address).await;
    raw.write(format!("GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n\r\n"))
        .await;
    let mut text = raw.until(b": live\n").await.expect("a stream");
    let line = format!("GET /refused/x?access_token={OPAQUE} HTTP/1.1");
    send(program, &line, &format!("{known}X-Pid: {PERSON}\r\n")).await;
    text.extend(raw.until(b"\"path\":\"/refused").await.expect("an event"));
    text.extend(raw.until(b"\n\n").await.expect("its end"));
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn the_commands_say_nothing_of_the_secrets() {
    let house = House::new().await;
    let mut outputs = Outputs::default();
    let dir = house.dir.path();
    let pid = format!("X-Pid: {PERSON}");
    let env =
        [("KANARI_PASSWORD", INBOUND_PASSWORD), ("KANARI_STORE", STORE_PASSWORD), ("RUST_LOG", "trace")];
    for words in [
        "check",
        "check --json",
        "check --offline",
        "config show",
        "config show --json",
        "key inspect key.pem",
        "key inspect key.p12 --password-env KANARI_STORE",
        "key inspect key.p12 --password-env KANARI_STORE --json",
        "key inspect key.p12 --password-env KANARI_PASSWORD",
        "postman --out postman",
        "token",
        "token --route nobody-has-this",
        "token --route allowed",
        "healthcheck",
        "run -- true",
        "run --proxy-env -- true",
        "init --no-input",
    ] {
        let args: Vec<&str> = words.split(' ').collect();
        let ended = on_a_thread(dir, &env, &args, "").await;
        outputs.command(words, &ended);
    }
    for name in FAILING {
        let ended = on_a_thread(dir, &env, &["token", "--route", name, "--header", &pid], "").await;
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{name}: {}", ended.stdout);
        outputs.command(&format!("token --route {name}"), &ended);
    }
    let wrong = format!("{pid}9");
    let ended = on_a_thread(dir, &env, &["token", "--route", "person", "--header", &wrong], "").await;
    outputs.command("token with a malformed number", &ended);
    // Without a colon it is no field, and is not repeated.
    let ended = on_a_thread(dir, &env, &["token", "--route", "person", "--header", PERSON], "").await;
    outputs.command("token with a malformed header", &ended);
    let ended = on_a_thread(dir, &env, &["key", "inspect", "key.p12"], STORE_PASSWORD).await;
    outputs.command("key inspect with the password on stdin", &ended);

    // A start that is refused.
    let misspelt = [
        ("KANARI_PASSWORD", INBOUND_PASSWORD),
        ("MASKINPORTEN_PROXY_CLIENTS__STORE__KEY__PASWORD", STORE_PASSWORD),
        ("MASKINPORTEN_PROXY_INBOUND__PASSWORD__LITERAL", INBOUND_PASSWORD),
        ("RUST_LOG", "trace"),
    ];
    let ended = on_a_thread(dir, &misspelt, &["serve"], "").await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    outputs.command("serve with a misspelt variable", &ended);
    for (name, properties) in [
        (
            "misspelt",
            format!("issuer=pem-client\nkeystore.pasword={STORE_PASSWORD}\nkeystore.file=key.p12\n"),
        ),
        (
            "base64",
            format!(
                "issuer=x\nkeystore.file=base64:{}\nkeystore.password={STORE_PASSWORD}\n",
                key_lines().concat()
            ),
        ),
        (
            "pid",
            format!("issuer=x\npid={PERSON}1\nkeystore.file=key.p12\nkeystore.password={STORE_PASSWORD}\n"),
        ),
    ] {
        let file = format!("{name}.properties");
        std::fs::write(dir.join(&file), properties).expect("a file");
        for command in ["serve", "token"] {
            let ended = on_a_thread(dir, &env, &["--config", &file, command], "").await;
            assert_ne!(ended.code, Some(0), "{file} {command}");
            outputs.command(&format!("{command} with {file}"), &ended);
        }
    }

    // What these print is the secret itself; beside it they say nothing.
    let token = on_a_thread(dir, &env, &["token", "--route", "fine"], "").await;
    assert_eq!((token.code, token.stdout.trim_end()), (Some(0), OPAQUE), "{}", token.stderr);
    outputs.take("`token`, stderr", token.stderr);
    let grant = on_a_thread(dir, &env, &["token", "--route", "fixed", "--grant"], "").await;
    assert_eq!(grant.code, Some(0), "{}", grant.stderr);
    house.grants.lock().expect("not poisoned").push(grant.stdout.trim_end().to_owned());
    outputs.take("`token --grant`, stderr", grant.stderr);

    let secrets = house.secrets();
    outputs.assert_clean(&secrets);
    assert!(secrets.find(token.stdout.as_bytes()).is_some(), "the token would have been found");
    assert!(secrets.find(grant.stdout.as_bytes()).is_some(), "the grant would have been found");
}

/// A command blocks for as long as the world, which lives on this thread, is to answer it.
async fn on_a_thread(dir: &Path, env: &[(&str, &str)], args: &[&str], input: &str) -> Ended {
    let dir = dir.to_owned();
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
    let input = input.to_owned();
    let work = move || {
        let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_with_input(&dir, &env, &args, &input)
    };
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// `Debug` of everything that holds a secret, or holds what holds one.
#[tokio::test]
async fn debug_output_shows_no_secret() {
    let sandbox = sandbox().await;
    let upstream = world::api().await;
    let app: App = Setup::new(&sandbox)
        .route("fine", "/", &upstream.url())
        .route_with("fixed", "/fixed", &upstream.url(), &format!("pid = \"{FIXED_PERSON}\""))
        .route_with("person", "/person", &upstream.url(), "pid = { header = \"X-Pid\" }")
        .with(&format!("[inbound]\npassword = \"{INBOUND_PASSWORD}\"\n"))
        .start()
        .await;
    let basic = BASE64_STANDARD.encode(format!("x:{INBOUND_PASSWORD}"));
    let ask = async |path: &str| {
        let fields = format!("Proxy-Authorization: Basic {basic}\r\nX-Pid: {PERSON}\r\n");
        app.raw(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await.text()
    };
    let said = ask("/x").await;
    ask("/person/x").await;
    let mut secrets = Secrets::default();
    let token = said.strip_prefix("Bearer ").expect("a token");
    secrets.add("the token", token.split_once('.').expect("a JWT").1);
    secrets.add("the inbound password", INBOUND_PASSWORD);
    secrets.add("a person's number", PERSON);
    secrets.add("the configured person's number", FIXED_PERSON);
    for line in sandbox.credentials().key_pem.expose().lines().skip(2).filter(|line| line.len() == 64) {
        secrets.add("the key", line);
    }
    let state = app.running.live.load_full();
    for (what, text) in [
        ("the state", format!("{state:#?}")),
        ("the configuration", format!("{:#?}", state.config)),
        ("the keys", format!("{:?}", state.keys)),
        ("the whole program", format!("{:#?}", app.running)),
        ("the sources", format!("{:?}", state.fixed_sources())),
        ("the sandbox's credentials", format!("{:?}", sandbox.credentials())),
    ] {
        assert!(text.len() > 40, "{what} shows something: {text}");
        if let Some(found) = secrets.find(text.as_bytes()) {
            panic!("{what} holds {found}");
        }
    }
    assert!(secrets.find(said.as_bytes()).is_some(), "it would have been found");
}
