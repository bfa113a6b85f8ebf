//! The command line as a user meets it: set-ups that are broken in the ways that people break
//! them, each made for real, with what the program says and its exit code.
//!
//! The snapshots stand in tests/cli; `BLESS=1 cargo test --test cli` writes them anew.

#[path = "cli/support.rs"]
mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use maskinporten_proxy::oauth::{Language, mp};
use maskinporten_proxy::sandbox::{CertificateSpec, Fault, Sandbox, Service, TestCa};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use self::support::{Folder, ROUTE, RUNTIME, key_with_certificate, offline_config, sandbox};

/// A broken set-up: its name, the exit code, the command, and how it is made.
type Broken = (&'static str, i32, &'static [&'static str], fn() -> Folder);

const SERVE: &[&str] = &["serve"];
const OFFLINE: &[&str] = &["check", "--offline"];

/// Compares each with its snapshot, and tells of all that differ.
fn hold(table: &[Broken]) {
    let mut wrong = Vec::new();
    for (name, code, command, make) in table {
        let folder = make();
        let ran = folder.run(command);
        if ran.code != *code {
            wrong.push(format!("{name}: exit code {}, not {code}\n{}{}", ran.code, ran.stdout, ran.stderr));
        }
        wrong.extend(ran.compare(name, &folder));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const GOOD_KEY: &str = "file = \"aes.p12\"\npassword = \"changeit\"";

fn good() -> String {
    offline_config(GOOD_KEY)
}

fn changed(from: &str, to: &str) -> Folder {
    let config = good();
    assert!(config.contains(from), "{from}");
    Folder::with(&config.replace(from, to)).keystore("aes.p12")
}

fn added(text: &str) -> Folder {
    Folder::with(&format!("{}\n{text}", good())).keystore("aes.p12")
}

#[test]
fn broken_configurations() {
    hold(&[
        ("config-none", 2, &[], Folder::new),
        ("config-none-check", 2, &["check"], Folder::new),
        ("config-missing-file", 2, &["serve", "--config", "proxy.tml"], Folder::new),
        ("config-missing-toml", 2, &["serve", "--config", "other.toml"], Folder::new),
        ("config-not-toml", 2, SERVE, || Folder::with("listen = 127.0.0.1:8080\n")),
        ("config-unknown-key", 2, SERVE, || changed("client_id", "clientid")),
        ("config-unknown-key-check", 2, OFFLINE, || changed("client_id", "clientid")),
        ("config-wrong-type", 2, SERVE, || changed("scopes = [\"demo:api\"]", "scopes = 7")),
        ("config-missing-value", 2, SERVE, || {
            changed("client_id = \"238259d7-f0ab-4bd5-b253-0f0159375096\"\n", "")
        }),
        ("config-same-requests", 2, SERVE, || added(&ROUTE.replace("\"api\"", "\"again\""))),
        ("config-unreachable-client", 2, SERVE, || {
            let config = good().replace("name = \"api\"", "name = \"api\"\nclient = \"test\"");
            Folder::with(&format!(
                "{config}\n{}",
                "[clients.spare]\nenvironment = \"prod\"\nclient_id = \"x\"\n\
                 key = { file = \"aes.p12\", password = \"changeit\" }\n",
            ))
        }),
        ("config-unknown-client", 2, SERVE, || {
            changed("name = \"api\"", "name = \"api\"\nclient = \"tset\"")
        }),
        ("config-upstream-in-the-clear", 2, SERVE, || changed("https://api", "http://api")),
        ("config-exposed", 2, SERVE, || changed("127.0.0.1:0", "0.0.0.0:0")),
        ("config-empty-inbound-password", 2, SERVE, || {
            let config = good().replace("127.0.0.1:0", "0.0.0.0:0");
            Folder::with(&format!("{config}\n[inbound]\npassword = {{ env = \"PROXY_PASSWORD\" }}\n"))
                .keystore("aes.p12")
                .env("PROXY_PASSWORD", "")
        }),
        ("config-unset-password", 2, SERVE, || changed("\"changeit\"", "{ env = \"KEYSTORE_PASSWORD\" }")),
        ("config-empty-password", 2, SERVE, || {
            changed("\"changeit\"", "{ env = \"KEYSTORE_PASSWORD\" }").env("KEYSTORE_PASSWORD", "")
        }),
        ("config-password-command-fails", 2, SERVE, || {
            changed("\"changeit\"", "{ command = \"echo no such item >&2; exit 3\" }")
        }),
        ("config-retired-host", 2, SERVE, || {
            changed("environment = \"test\"", "issuer = \"https://ver2.maskinporten.no/\"")
        }),
        ("config-environment-unknown", 2, SERVE, || changed("\"test\"", "\"tset\"")),
        ("config-intercept-without-ca", 2, SERVE, || added("[forward]\nintercept = true\n")),
        ("config-ca-file-missing", 2, SERVE, || added("[upstream]\nca_file = \"ca.pem\"\n")),
        ("config-ca-file-missing-check", 1, OFFLINE, || added("[upstream]\nca_file = \"ca.pem\"\n")),
        ("config-route-unknown", 2, &["token", "--route", "apo"], || added("")),
        ("config-properties", 2, &["token", "--config", "my.properties"], || {
            let lines = "issuer=238259d7-f0ab-4bd5-b253-0f0159375096\naudience=https://ver2.maskinporten.no/\n\
                         token.endpoint=https://ver2.maskinporten.no/token\nscope=idporten:dcr.read\n\
                         keystore.type=JKS\nkeystore.file=one.jks\nkeystore.password=changeit\n\
                         keystore.alias=virksomhet\nkeystore.alias.password=changeit\n";
            Folder::new().file("my.properties", lines).keystore("one.jks")
        }),
    ]);
}

/// A client with the key `key` in a file of tests/keystores.
macro_rules! keystore {
    ($file:literal $(, $more:literal)*) => {
        || Folder::with_key(concat!("file = \"", $file, "\"" $(, "\n", $more)*)).keystore($file)
    };
}

#[test]
fn broken_keys() {
    hold(&[
        ("key-missing", 2, SERVE, || Folder::with_key("file = \"virksomhet.jks\"\npassword = \"changeit\"")),
        ("key-wrong-password-p12", 2, SERVE, keystore!("aes.p12", "password = \"changeti\"")),
        ("key-wrong-password-jks", 2, SERVE, keystore!("one.jks", "password = \"changeti\"")),
        ("key-no-password", 2, SERVE, keystore!("aes.p12")),
        ("key-wrong-key-password", 2, SERVE, keystore!("key-password.jks", "password = \"changeit\"")),
        (
            "key-unknown-alias",
            2,
            SERVE,
            keystore!("several.jks", "password = \"changeit\"", "alias = \"sing\""),
        ),
        (
            "key-certificate-alias",
            2,
            SERVE,
            keystore!("several.jks", "password = \"changeit\"", "alias = \"buypass-ca\""),
        ),
        ("key-several", 2, SERVE, keystore!("two-signing.p12", "password = \"changeit\"")),
        ("key-ec", 2, SERVE, keystore!("ec.p12", "password = \"changeit\"")),
        ("key-small", 2, SERVE, keystore!("small.p12", "password = \"changeit\"")),
        ("key-expired", 2, SERVE, keystore!("expired.p12", "password = \"changeit\"")),
        ("key-expired-check-nb", 1, &["check", "--offline", "--lang", "nb"], || {
            Folder::with_key("file = \"expired.p12\"\npassword = \"changeit\"").keystore("expired.p12")
        }),
        ("key-future", 2, SERVE, keystore!("future.p12", "password = \"changeit\"")),
        ("key-mismatch", 2, SERVE, keystore!("mismatch.pem")),
        ("key-neither-kid-nor-certificate", 2, SERVE, keystore!("key-only.pem")),
        ("key-trust-store", 2, SERVE, keystore!("certificates-only.jks", "password = \"changeit\"")),
        ("key-public-certificate", 2, SERVE, keystore!("certificate.pem")),
        ("key-html", 2, SERVE, keystore!("page.html")),
        ("key-base64", 2, SERVE, keystore!("one.jks.base64", "password = \"changeit\"")),
        ("key-jceks", 2, SERVE, keystore!("store.jceks", "password = \"changeit\"")),
        ("key-truncated", 2, SERVE, || {
            Folder::with_key("file = \"one.jks\"\npassword = \"changeit\"").cut("one.jks", 1500)
        }),
        ("key-empty", 2, SERVE, || Folder::with_key("file = \"key.pem\"").file("key.pem", "")),
        ("key-is-a-folder", 2, SERVE, || Folder::with_key("file = \".\"")),
        ("key-wrong-alias-check", 1, OFFLINE, || {
            Folder::with_key("file = \"several.jks\"\npassword = \"changeit\"\nalias = \"buypass-ca\"")
                .keystore("several.jks")
        }),
        ("key-not-for-signing-check", 1, OFFLINE, keystore!("nonrep.pem", "password = \"changeit\"")),
        ("key-self-signed-check", 0, OFFLINE, keystore!("self-signed.pem")),
        ("key-without-chain-check", 0, OFFLINE, || {
            Folder::with_key("file = \"key-only.pem\"\ncertificate = \"leaf.der\"")
                .keystore("key-only.pem")
                .keystore("leaf.der")
        }),
        ("key-of-the-other-environment", 1, OFFLINE, || {
            let ca = TestCa::new("Buypass Class 3", SystemTime::now()).expect("a CA");
            let pem = key_with_certificate(&ca, &dated(CertificateSpec::new("991825827", SystemTime::now())));
            Folder::with_key("file = \"prod.pem\"").file("prod.pem", &pem)
        }),
        ("key-readable-by-others", 0, OFFLINE, || {
            let folder = added("");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = std::fs::Permissions::from_mode(0o644);
                std::fs::set_permissions(folder.path("aes.p12"), mode).expect("a mode");
            }
            folder
        }),
        ("inspect-wrong-password", 1, &["key", "inspect", "aes.p12", "--password-env", "PW"], || {
            Folder::new().keystore("aes.p12").env("PW", "changeti")
        }),
        ("inspect-no-variable", 2, &["key", "inspect", "aes.p12", "--password-env", "PW"], || {
            Folder::new().keystore("aes.p12")
        }),
        ("inspect-missing", 1, &["key", "inspect", "aes.p12"], Folder::new),
        ("inspect-no-keystore", 1, &["key", "inspect", "page.html"], || Folder::new().keystore("page.html")),
        ("generate-exists", 1, &["key", "generate", "--out", "key.pem"], || {
            Folder::new().file("key.pem", "somebody's key")
        }),
        ("generate-no-folder", 1, &["key", "generate", "--out", "keys/key.pem"], Folder::new),
    ]);
}

/// Dates that do not change from day to day.
fn dated(spec: CertificateSpec) -> CertificateSpec {
    CertificateSpec {
        not_before: date_time_ymd(2020, 1, 1).into(),
        not_after: date_time_ymd(2120, 1, 1).into(),
        ..spec
    }
}

/// A route of the sandbox's echo API, with more lines.
fn echo(sandbox: &Sandbox, more: &str) -> String {
    let scopes = if more.contains("scopes") { "" } else { "scopes = [\"demo:api\"]\n" };
    format!(
        "[[routes]]\nname = \"echo\"\npath = \"/echo\"\nupstream = \"{}\"\n{scopes}{more}",
        sandbox.echo_url()
    )
}

/// Runs `command` against a sandbox and holds it against the snapshot `name`.
fn online(name: &str, code: i32, command: &[&str], make: impl FnOnce(&Sandbox) -> Folder) {
    let sandbox = sandbox();
    let folder = make(&sandbox);
    let ran = folder.run(command);
    assert_eq!(ran.code, code, "{name}: {}{}", ran.stdout, ran.stderr);
    if let Some(wrong) = ran.compare(name, &folder) {
        panic!("{wrong}");
    }
}

const TOKEN: &[&str] = &["token"];
const CHECK: &[&str] = &["check"];

#[test]
fn everything_in_order() {
    online("check-good", 0, CHECK, |sandbox| Folder::of(sandbox, &echo(sandbox, "")));
    online("check-good-nb", 0, CHECK, |sandbox| {
        Folder::of(sandbox, &echo(sandbox, "exchange = \"altinn\"\n")).env("LC_ALL", "nb_NO.UTF-8")
    });
}

#[test]
fn a_client_that_maskinporten_does_not_know() {
    let unknown = |sandbox: &Sandbox| {
        let known = sandbox.credentials().client_id.clone();
        Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace(&known, "00000000-0000-0000-0000-000000000000")
        })
    };
    online("token-unknown-client", 1, TOKEN, unknown);
    online("check-unknown-client", 1, CHECK, unknown);
}

#[test]
fn a_scope_that_the_client_does_not_have() {
    let route = |sandbox: &Sandbox| Folder::of(sandbox, &echo(sandbox, "scopes = [\"demo:aip\"]\n"));
    online("token-wrong-scope", 1, TOKEN, route);
    online("check-wrong-scope", 1, CHECK, route);
    online("check-wrong-scope-nb", 1, &["check", "--lang", "nb"], route);
}

#[test]
fn an_issuer_of_another_environment() {
    online("token-wrong-issuer", 1, TOKEN, |sandbox| {
        let issuer = format!("issuer = \"{}\"", sandbox.issuer());
        Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace(&issuer, "issuer = \"https://test.maskinporten.no/\"")
        })
    });
}

#[test]
fn a_key_that_is_not_the_registered_one() {
    online("token-wrong-key", 1, TOKEN, |sandbox| {
        let folder = Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace("file = \"key.pem\"", "file = \"another.pem\"")
        });
        assert_eq!(folder.run(&["key", "generate", "--out", "another.pem"]).code, 0);
        folder
    });
}

#[test]
fn a_certificate_of_another_organisation_or_issuer() {
    let with = |sandbox: &Sandbox, pem: &str| {
        let credentials = sandbox.credentials();
        let (registered, by_certificate) = (&credentials.client_id, &credentials.certificate_client_id);
        let kid = format!("kid = \"{}\"\n", credentials.kid);
        Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace(registered, by_certificate).replace(&kid, "").replace("key.pem", "business.pem")
        })
        .file("business.pem", pem)
    };
    online("token-wrong-organisation", 1, TOKEN, |sandbox| {
        let spec = CertificateSpec::new("991825827", SystemTime::now());
        with(sandbox, &key_with_certificate(sandbox.ca(), &spec))
    });
    online("token-wrong-authority", 1, TOKEN, |sandbox| {
        let ca = TestCa::new("Nobody", SystemTime::now()).expect("a CA");
        let spec = CertificateSpec::new(&sandbox.credentials().organisation, SystemTime::now());
        with(sandbox, &key_with_certificate(&ca, &spec))
    });
}

#[test]
fn a_delegation_that_is_missing() {
    online("token-not-delegated", 1, TOKEN, |sandbox| {
        Folder::of(sandbox, &echo(sandbox, "consumer_org = \"991825827\"\n"))
    });
}

#[test]
fn a_clock_that_is_off() {
    let off = |seconds: i64| {
        move |sandbox: &Sandbox| {
            sandbox.control().set_clock_offset(seconds);
            // A second more or less is how long it took.
            let folder = Folder::of(sandbox, &echo(sandbox, ""));
            let near = seconds.abs() - 2..=seconds.abs() + 2;
            near.fold(folder, |folder, near| folder.hide(&format!("{near} s "), "OFF "))
        }
    };
    online("check-clock-behind", 1, CHECK, off(300));
    online("check-clock-ahead", 1, CHECK, off(-300));
    // The proxy itself copes.
    let sandbox = sandbox();
    let ran = off(300)(&sandbox).run(TOKEN);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
}

#[test]
fn a_token_endpoint_that_is_down() {
    let down = |sandbox: &Sandbox| {
        let endpoint = format!("{}token", sandbox.issuer());
        let port = closed_port();
        Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace(&endpoint, &format!("http://127.0.0.1:{port}/token"))
        })
        .hide_port(port, "CLOSED")
    };
    online("token-endpoint-down", 1, TOKEN, down);
    online("check-endpoint-down", 1, CHECK, down);
}

#[test]
fn a_token_endpoint_whose_name_does_not_resolve() {
    online("check-endpoint-unresolved", 1, CHECK, |sandbox| {
        let endpoint = format!("{}token", sandbox.issuer());
        Folder::of_changed(sandbox, &echo(sandbox, ""), |config| {
            config.replace(&endpoint, "https://maskinporten.invalid/token")
        })
    });
}

#[test]
fn a_token_endpoint_that_answers_something_else() {
    for (name, command, fault) in [
        ("token-html", TOKEN, Fault::html()),
        ("check-html", CHECK, Fault::html()),
        ("check-html-nb", &["check", "--lang", "nb"], Fault::html()),
        ("token-unavailable", TOKEN, Fault::status(StatusCode::SERVICE_UNAVAILABLE)),
        ("token-redirect", TOKEN, Fault::redirect(StatusCode::FOUND, "https://login.example.no/")),
        ("token-empty", TOKEN, Fault::empty()),
    ] {
        online(name, 1, command, |sandbox| {
            sandbox.control().faults().always(Service::Token, fault);
            Folder::of(sandbox, &echo(sandbox, ""))
        });
    }
}

#[test]
fn fewer_scopes_than_were_asked_for() {
    online("check-fewer-scopes", 0, CHECK, |sandbox| {
        let fault = Fault::member("scope", Some("\"idporten:dcr.read\""));
        sandbox.control().faults().always(Service::Token, fault);
        let scopes = "methods = [\"GET\"]\nscopes = [\"idporten:dcr.read\", \"demo:api\"]\n";
        Folder::of(sandbox, &echo(sandbox, scopes))
    });
}

#[test]
fn an_exchange_that_altinn_refuses() {
    online("check-exchange-refused", 1, CHECK, |sandbox| {
        sandbox.control().faults().always(Service::Altinn, Fault::unauthorized());
        Folder::of(sandbox, &echo(sandbox, "exchange = \"altinn\"\n"))
    });
}

#[test]
fn claims_that_come_with_requests() {
    online("check-claims-of-requests", 0, CHECK, |sandbox| {
        Folder::of(sandbox, &echo(sandbox, "pid = { header = \"X-Pid\" }\n"))
    });
}

#[test]
fn an_upstream_that_is_down() {
    online("check-upstream-down", 1, CHECK, |sandbox| {
        let port = closed_port();
        let route = echo(sandbox, "").replace(&sandbox.echo_url(), &format!("http://127.0.0.1:{port}/"));
        Folder::of(sandbox, &route).hide_port(port, "CLOSED")
    });
}

#[test]
fn an_upstream_whose_tls_is_not_to_be_trusted() {
    for (name, host, params) in [
        ("check-upstream-untrusted", "localhost", certificate("localhost")),
        ("check-upstream-untrusted-nb", "localhost", certificate("localhost")),
    ] {
        let command: &[&str] = if name.ends_with("nb") { &["check", "--lang", "nb"] } else { CHECK };
        online(name, 1, command, |sandbox| {
            let (port, _) = tls_server(params);
            secured(sandbox, host, port)
        });
    }
    // Trusted by its file, and still wrong.
    let mut expired = certificate("localhost");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    for (name, params) in
        [("check-upstream-wrong-name", certificate("api.example.no")), ("check-upstream-expired", expired)]
    {
        online(name, 1, CHECK, |sandbox| {
            let (port, pem) = tls_server(params);
            let route = secured_route(sandbox, "localhost", port);
            Folder::of(sandbox, &format!("{route}\n[upstream]\nca_file = \"ca.pem\"\n"))
                .file("ca.pem", &pem)
                .hide_port(port, "TLS")
        });
    }
}

#[test]
fn an_upstream_that_speaks_no_tls() {
    online("check-upstream-no-tls", 1, CHECK, |sandbox| secured(sandbox, "localhost", sandbox.addr().port()));
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for (name, code, command) in [("serve-port-taken", 1, SERVE), ("check-port-taken", 0, OFFLINE)] {
        let folder = changed("127.0.0.1:0", &address.to_string()).hide_port(address.port(), "TAKEN");
        let ran = folder.run(command);
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        if let Some(wrong) = ran.compare(name, &folder) {
            panic!("{wrong}");
        }
    }
}

#[test]
fn a_token_of_one_environment_for_an_api_of_the_other() {
    let folder = changed("https://api.example.no", "https://api.samarbeid.digdir.no/clients");
    let ran = folder.run(OFFLINE);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    if let Some(wrong) = ran.compare("check-mixed-environments", &folder) {
        panic!("{wrong}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let now = SystemTime::now();
    let ca = TestCa::new("Some CA", now).expect("a CA");
    let not_after = now + Duration::from_secs(10 * 24 * 3600);
    let pem =
        key_with_certificate(&ca, &CertificateSpec { not_after, ..CertificateSpec::new("991825827", now) });
    let folder = Folder::with_key("file = \"soon.pem\"").file("soon.pem", &pem);
    let ran = folder.run(OFFLINE);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("! certificate.test"), "{}", ran.stdout);
    assert!(ran.stdout.contains("cause: it ends in 9 days"), "{}", ran.stdout);
}

#[test]
fn the_json_of_a_check_is_alone_on_stdout() {
    let sandbox = sandbox();
    for (more, ok) in [("", true), ("scopes = [\"demo:aip\"]\n", false)] {
        let ran = Folder::of(&sandbox, &echo(&sandbox, more)).run(&["check", "--json"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (i32::from(!ok), ""));
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON alone");
        assert_eq!(report["ok"], ok);
        let checks = report["checks"].as_array().expect("a list");
        let token = checks.iter().find(|check| check["name"] == "token.echo").expect("a token");
        assert_eq!(token["status"], if ok { "ok" } else { "fail" });
        assert_eq!(token["hint"].is_string(), !ok);
        for check in checks {
            assert!(check["detail"].is_string() && check.get("hint").is_some(), "{check}");
            let status = check["status"].as_str().expect("a text");
            assert!(["ok", "warn", "fail", "skip"].contains(&status), "{check}");
        }
    }
    let broken = Folder::with("lisen = 1").run(&["check", "--json"]);
    assert_eq!(broken.code, 2);
    let report: serde_json::Value = serde_json::from_str(&broken.stdout).expect("JSON alone");
    assert_eq!((&report["ok"], &report["checks"][0]["name"]), (&false.into(), &"config".into()));
}

#[test]
fn offline_asks_nothing_of_the_network() {
    let sandbox = sandbox();
    let ran = Folder::of(&sandbox, &echo(&sandbox, "")).run(OFFLINE);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let counts = sandbox.control().counts();
    assert_eq!((counts.token_requests, counts.api_requests), (0, 0));
    assert!(sandbox.control().token_requests().is_empty());
}

#[test]
fn a_check_sends_no_token_to_an_upstream_and_asks_for_each_once() {
    let sandbox = sandbox();
    let twice = format!(
        "{}\n{}",
        echo(&sandbox, ""),
        echo(&sandbox, "").replace("\"echo\"", "\"again\"").replace("\"/echo\"", "\"/again\"")
    );
    let ran = Folder::of(&sandbox, &twice).run(CHECK);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(sandbox.control().api_requests().is_empty());
    let granted = sandbox.control().token_requests().len();
    assert!((1..=2).contains(&granted), "a look at the clock and one grant, not {granted}");
}

#[test]
fn a_pid_is_masked() {
    let sandbox = sandbox();
    let ran = Folder::of(&sandbox, &echo(&sandbox, "pid = \"01017000027\"\n")).run(&["check", "--json"]);
    assert!(!ran.stdout.contains("01017000027"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"pid\":\"***\""), "{}", ran.stdout);
}

#[test]
fn colours_are_shown_where_they_are_wanted() {
    let sandbox = sandbox();
    let run = |name: &str, value: &str| {
        Folder::of(&sandbox, &echo(&sandbox, "")).env(name, value).run(OFFLINE).stdout
    };
    assert!(run("CLICOLOR_FORCE", "1").contains("\x1b[32m✔"));
    assert!(!run("NO_COLOR", "1").contains('\x1b'));
    assert!(!run("TERM", "xterm").contains('\x1b'), "stdout is no terminal");
    assert!(run("LC_ALL", "C").is_ascii());
}

#[test]
fn keystores_are_listed_as_a_person_would_see_them() {
    for (name, file, input) in [
        ("inspect-several", "several.jks", "changeit\n"),
        ("inspect-p12", "aes.p12", "changeit\n"),
        ("inspect-expired", "expired.jks", "changeit\n"),
        ("inspect-shut", "one.jks", ""),
        ("inspect-trust-store", "certificates-only.jks", "changeit\n"),
        ("inspect-ec", "ec.p12", "changeit\n"),
        ("inspect-pem", "pkcs8.pem", ""),
        ("inspect-key-only", "key-only.pem", ""),
        ("inspect-jwk", "kid.jwk", ""),
    ] {
        let folder = Folder::new().keystore(file);
        let ran = folder.run_with_input(&["key", "inspect", file], input);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        if let Some(wrong) = ran.compare(name, &folder) {
            panic!("{wrong}");
        }
    }
}

#[test]
fn the_snippet_of_an_inspection_works_as_it_is() {
    let folder = Folder::new().keystore("several.p12").env("PW", "changeit");
    let ran = folder.run(&["key", "inspect", "several.p12", "--json", "--password-env", "PW"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["format"], "PKCS#12");
    assert_eq!(report["entries"].as_array().expect("a list").len(), 4);
    let snippet = report["proxy_toml"].as_str().expect("a snippet").replace("NAME", "test");
    let config = offline_config("").replace("[clients.test.key]\n", &snippet);
    let ran = folder.file("proxy.toml", &config).run(OFFLINE);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("alias \"sign\""), "{}", ran.stdout);
}

#[test]
fn a_password_comes_from_a_file_too() {
    let folder = Folder::new().keystore("aes.p12").file("password", "changeit\n");
    let ran = folder.run(&["key", "inspect", "aes.p12", "--password-file", "password"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("password = { file = \"password\" }"), "{}", ran.stdout);
    let both = folder.run(&["key", "inspect", "aes.p12", "--password-file", "x", "--password-env", "Y"]);
    assert_eq!(both.code, 2);
}

#[test]
fn a_generated_key_is_private_registers_and_signs() {
    let sandbox = sandbox();
    let folder = Folder::of_changed(&sandbox, &echo(&sandbox, ""), |config| {
        config.replace("key.pem", "mine.pem").replace(&sandbox.credentials().kid, "mine")
    });
    let ran = folder.run(&["key", "generate", "--out", "mine.pem", "--kid", "mine"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let jwks: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JWKS alone on stdout");
    assert!(ran.stderr.contains("/jwks") && ran.stderr.contains("kid  = \"mine\""), "{}", ran.stderr);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path("mine.pem")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let key = &jwks["keys"][0];
    for secret in ["d", "p", "q", "dp", "dq", "qi"] {
        assert!(key.get(secret).is_none(), "{secret}");
    }
    let registered = maskinporten_proxy::sandbox::RegisteredKey::from_jwk(key).expect("a public JWK");
    sandbox.control().set_keys(&sandbox.credentials().client_id, vec![registered]).expect("a client");
    let ran = folder.run(TOKEN);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn every_code_stands_in_the_troubleshooting_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = std::fs::read_to_string(path).expect("the page");
    for entry in mp::TABLE {
        if let Some(code) = entry.code {
            assert!(page.contains(&format!("| {code} |")), "{code} is missing");
        }
        for language in [Language::English, Language::Norwegian] {
            assert!(page.contains(entry.cause(language)), "{:?}: {}", entry.code, entry.cause(language));
        }
        assert!(
            page.contains(entry.fix(Language::English)),
            "{:?}: {}",
            entry.code,
            entry.fix(Language::English)
        );
    }
}

/// A port that nothing listens on, and that no other test can get: it is bound, and stays so.
fn closed_port() -> u16 {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("an IP address");
    std::mem::forget(socket);
    address.port()
}

fn secured_route(sandbox: &Sandbox, host: &str, port: u16) -> String {
    echo(sandbox, "").replace(&sandbox.echo_url(), &format!("https://{host}:{port}/"))
}

fn secured(sandbox: &Sandbox, host: &str, port: u16) -> Folder {
    Folder::of(sandbox, &secured_route(sandbox, host, port)).hide_port(port, "TLS")
}

fn certificate(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Speaks TLS with a certificate that its own authority issued; gives the port and the
/// authority's certificate in PEM.
fn tls_server(params: CertificateParams) -> (u16, String) {
    let (key, authority_key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut authority = CertificateParams::default();
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "Private Authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).expect("a certificate");
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    RUNTIME.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Handshakes that the other side breaks off are what is tested.
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    (port, root.pem())
}
