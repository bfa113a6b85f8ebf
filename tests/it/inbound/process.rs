//! The process that holds the keys, and what it says of files that others can read.

use super::write_config;
use crate::support::program::{Program, run};
use crate::support::{sandbox, until};

const LOOPBACK: &str = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"";

/// The owner of `/proc/PID/status`: root, where the process may not be dumped, and then no process
/// of the same user can trace it, or read its memory or environment.
#[cfg(target_os = "linux")]
fn owner(id: u32) -> u32 {
    use std::os::unix::fs::MetadataExt as _;

    std::fs::metadata(format!("/proc/{id}/status")).expect("a process").uid()
}

/// As root this says nothing, since everything is root's; so there the program runs as nobody.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn neither_core_dumps_nor_other_processes_get_at_its_memory() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    const NOBODY: u32 = 65534;
    let (sandbox, dir) = (sandbox().await, tempfile::tempdir().expect("a folder"));
    write_config(dir.path(), &sandbox, LOOPBACK, "");
    let user = std::fs::metadata(dir.path()).expect("a folder").uid();
    let mut prefix: Vec<&str> = Vec::new();
    if user == 0 {
        prefix.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        for name in ["", "key.pem", "proxy.toml"] {
            chown(dir.path().join(name), Some(NOBODY), Some(NOBODY)).expect("a change of owner");
        }
    }
    let user = if user == 0 { NOBODY } else { user };
    let mut ordinary = std::process::Command::new(prefix.first().unwrap_or(&"sleep"));
    ordinary.args(prefix.iter().skip(1)).args(prefix.first().map(|_| "sleep")).arg("60");
    let mut ordinary = ordinary.spawn().expect("sleep");
    let program = Program::serve_behind(&prefix, dir.path(), &[], &[]).await;

    let theirs = owner(program.id());
    // `setpriv` is root's until it has become what it runs.
    let is_users = || std::future::ready(owner(ordinary.id()) == user);
    until("a process that may be dumped belongs to its user", is_users).await;
    ordinary.kill().expect("an end");
    ordinary.wait().expect("an end");
    assert_eq!(theirs, 0, "one that may not, to root");

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    let values: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "{core}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_hold_secrets_and_are_open_to_others_are_told_of_with_the_chmod() {
    use std::os::unix::fs::PermissionsExt as _;

    let (sandbox, dir) = (sandbox().await, tempfile::tempdir().expect("a folder"));
    let open = |name: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.path().join(name), permissions).expect("a mode");
    };
    std::fs::write(dir.path().join("pw"), "hemmelig").expect("a file");
    write_config(dir.path(), &sandbox, LOOPBACK, "[inbound]\npassword = { file = \"pw\" }");
    let warnings = |program: &Program| -> Vec<String> {
        let lines = program.lines().into_iter();
        let warned = lines.filter(|line| line["level"] == "WARN");
        warned.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    };
    open("pw", 0o600);
    let program = Program::serve(dir.path(), &[], &[]).await;
    assert!(warnings(&program).iter().all(|text| !text.contains("chmod")), "{:?}", warnings(&program));
    drop(program);

    open("key.pem", 0o644);
    open("pw", 0o604);
    let program = Program::serve(dir.path(), &[], &[]).await;
    let told = warnings(&program);
    for (file, mode) in [("key.pem", "0644"), ("pw", "0604")] {
        let about: Vec<_> = told.iter().filter(|text| text.contains(&format!("/{file} "))).collect();
        assert_eq!(about.len(), 1, "{file}: {told:?}");
        assert!(about[0].contains("chmod 600 ") && about[0].contains(mode), "{about:?}");
    }
    drop(program);

    // A configuration that holds a password itself is such a file.
    let config = std::fs::read_to_string(dir.path().join("proxy.toml")).expect("a configuration");
    let literal = config.replace("{ file = \"pw\" }", "\"hemmelig\"");
    std::fs::write(dir.path().join("proxy.toml"), literal).expect("a configuration");
    open("proxy.toml", 0o644);
    let program = Program::serve(dir.path(), &[], &[]).await;
    let told = warnings(&program);
    assert!(told.iter().any(|text| text.contains("proxy.toml") && text.contains("chmod 600")), "{told:?}");
}

#[tokio::test]
async fn a_configuration_that_would_send_a_token_in_the_clear_is_refused() {
    let sandbox = sandbox().await;
    let (issuer, echo) = (sandbox.issuer(), sandbox.echo_url());
    for (from, to) in [
        (echo.as_str(), "http://api.example.no"),
        (echo.as_str(), "http://10.0.0.1:8080/x"),
        (echo.as_str(), "http://localhost.example.no"),
        (echo.as_str(), "http://127.0.0.1.example.no"),
        (issuer.as_str(), "http://maskinporten.example.no/"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        write_config(dir.path(), &sandbox, LOOPBACK, "");
        let path = dir.path().join("proxy.toml");
        let config = std::fs::read_to_string(&path).expect("a configuration");
        assert!(config.contains(from));
        std::fs::write(&path, config.replace(from, to)).expect("a configuration");
        let ended = run(dir.path(), &[], &["serve"]);
        assert_eq!(ended.code, Some(2), "{to}: {}", ended.stderr);
        assert!(ended.stderr.contains("https"), "{to}: {}", ended.stderr);
        assert!(ended.stderr.contains("proxy.toml"), "{to}: {}", ended.stderr);
    }
}

/// What is built, not what Cargo.lock lists: that names optional parts, too.
#[test]
fn one_tls_stack_and_one_crypto_provider_are_in_the_binary() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = std::process::Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let tree = String::from_utf8_lossy(&output.stdout);
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let read = crates.contains(&"aws-lc-rs") && crates.contains(&"rustls");
    assert!(read, "{}", String::from_utf8_lossy(&output.stderr));
    for unwanted in ["rsa", "ring", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!crates.contains(&unwanted), "{unwanted}");
    }
}
