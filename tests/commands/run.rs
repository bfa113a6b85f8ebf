//! `run`: a command behind a proxy of its own.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ::http::StatusCode;
use maskinporten_proxy::sandbox::{Fault, Sandbox, Service};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;

use crate::program::{BINARY, Ended, Talking, ended, program, run_in};
use crate::support::{Raw, RawResponse, Setup, sandbox, until};

async fn ready() -> (Sandbox, tempfile::TempDir) {
    let sandbox = sandbox().await;
    let (dir, _) = echo(&sandbox).write();
    (sandbox, dir)
}

fn echo(sandbox: &Sandbox) -> Setup {
    Setup::new(sandbox).route("my-echo", "/echo", &sandbox.echo_url())
}

async fn shell(folder: &Path, script: &str) -> Ended {
    run_in(folder, &["run", "--", "sh", "-c", script]).await
}

/// `run` of a script that prints its proxy's URL and waits for a line.
fn talking(folder: &Path, more: &[&str], script: &str) -> Command {
    program(folder, &[&["run"], more, &["--", "sh", "-c", script]].concat())
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap_or(url).parse().unwrap_or_else(|_| panic!("{url} is no address"))
}

async fn get(url: &str, path: &str, more: &str) -> RawResponse {
    let address = address(url);
    let mut raw = Raw::connect(address).await;
    raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n")).await
}

#[tokio::test]
async fn the_exit_code_is_the_command_s_own() {
    let (_sandbox, dir) = ready().await;
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        let ended = shell(dir.path(), script).await;
        assert_eq!(ended.code, Some(code), "{script}: {}", ended.stderr);
        assert_eq!(ended.stderr, "", "{script}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_127_and_one_that_cannot_be_run_126() {
    let (_sandbox, dir) = ready().await;
    let file = dir.path().join("not-executable");
    std::fs::write(&file, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (name, code) in [("no-such-command-anywhere", 127), ("./not-executable", 126)] {
        let ended = run_in(dir.path(), &["run", "--", name]).await;
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.starts_with(&format!("error: cannot run {name}\n")), "{}", ended.stderr);
        assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_command_finds_the_proxy_by_variables_and_by_a_placeholder() {
    let (_sandbox, dir) = ready().await;
    let script = r#"echo "$MASKINPORTEN_PROXY_URL $MASKINPORTEN_PROXY_URL_MY_ECHO $0 $1 $2""#;
    let command =
        program(dir.path(), &["run", "--", "sh", "-c", script, "{url}", "base={url}/x{url}", "{other}"]);
    let ended = ended(command).await;
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    let [url, route, zeroth, first, second] = words[..] else { panic!("{ended:?}") };
    assert!(address(url).ip().is_loopback());
    assert_eq!(route, format!("{url}/echo"));
    assert_eq!(zeroth, url);
    assert_eq!(first, format!("base={url}/x{url}"));
    assert_eq!(second, "{other}");
}

#[tokio::test]
async fn a_route_with_a_host_of_its_own_is_named_by_it() {
    let sandbox = sandbox().await;
    let (dir, _) = Setup::new(&sandbox)
        .route_with("a", "/", &sandbox.echo_url(), "host = \"a.localhost\"\n")
        .route("b", "/", &sandbox.echo_url())
        .write();
    let ended = shell(
        dir.path(),
        r#"echo "$MASKINPORTEN_PROXY_URL $MASKINPORTEN_PROXY_URL_A $MASKINPORTEN_PROXY_URL_B""#,
    )
    .await;
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    let [url, a, b] = words[..] else { panic!("{ended:?}") };
    assert_eq!(a, format!("http://a.localhost:{}", address(url).port()));
    assert_eq!(b, url);
}

#[tokio::test]
async fn a_run_within_a_run_has_a_proxy_of_its_own() {
    let (_sandbox, dir) = ready().await;
    let script = r#"echo "$MASKINPORTEN_PROXY_URL"; MASKINPORTEN_PROXY_URL_STALE=x exec "$0" run -- env"#;
    let ended = run_in(dir.path(), &["run", "--", "sh", "-c", script, BINARY]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (outer, inner) = ended.stdout.split_once('\n').unwrap();
    let url = inner.lines().find_map(|line| line.strip_prefix("MASKINPORTEN_PROXY_URL=")).unwrap();
    assert_ne!(outer, url);
    assert!(inner.contains(&format!("MASKINPORTEN_PROXY_URL_MY_ECHO={url}/echo\n")), "{inner}");
    assert!(!inner.contains("STALE"), "{inner}");
}

#[tokio::test]
async fn input_and_output_are_the_command_s_own() {
    let (_sandbox, dir) = ready().await;
    let mut talking =
        Talking::start(talking(dir.path(), &[], "read line; echo \"got $line\"; echo error >&2"));
    talking.say("something  odd").await;
    assert_eq!(talking.line().await, "got something  odd");
    assert_eq!(talking.code().await, Some(0));
    assert_eq!(talking.rest_of_stderr().await, "error\n");
}

#[tokio::test]
async fn runs_side_by_side_never_collide() {
    let (_sandbox, dir) = ready().await;
    let script = "echo $MASKINPORTEN_PROXY_URL; read line; exit 3";
    let mut runs: Vec<Talking> = (0..3).map(|_| Talking::start(talking(dir.path(), &[], script))).collect();
    let mut urls = Vec::new();
    for run in &mut runs {
        urls.push(run.line().await);
    }
    for url in &urls {
        let response = get(url, "/echo/x", "").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 3);
    for run in &mut runs {
        run.say("").await;
        assert_eq!(run.code().await, Some(3));
    }
}

#[tokio::test]
async fn the_configured_listeners_and_their_guards_are_left_out() {
    let sandbox = sandbox().await;
    // Nobody could bind to this address, and nobody but its administrator knows the password.
    let (dir, _) = echo(&sandbox)
        .replace("listen = \"127.0.0.1:0\"", "listen = \"192.0.2.1:1\"")
        .replace("admin = \"127.0.0.1:0\"", "admin = \"192.0.2.1:2\"")
        .with("\n[inbound]\npassword = \"hemmelig\"\n")
        .write();
    let script = "echo $MASKINPORTEN_PROXY_URL; read line";
    let mut run = Talking::start(talking(dir.path(), &[], script));
    let url = run.line().await;
    assert_eq!(get(&url, "/echo/x", "").await.status, 200);
    run.say("").await;
    assert_eq!(run.code().await, Some(0));
}

#[tokio::test]
async fn requests_that_failed_are_told_of_with_who_failed() {
    let (sandbox, dir) = ready().await;
    let mut run = Talking::start(talking(dir.path(), &[], "echo $MASKINPORTEN_PROXY_URL; read line; exit 4"));
    let url = run.line().await;
    assert_eq!(get(&url, "/echo/x", "").await.status, 200);
    assert_eq!(get(&url, "/echo/status/404", "").await.status, 404);
    assert_eq!(get(&url, "/nowhere", "").await.status, 404);
    assert_eq!(get(&url, "/echo/y", "Origin: http://evil.example\r\n").await.status, 403);
    sandbox.stop().await;
    assert_eq!(get(&url, "/echo/z?token=hemmelig", "").await.status, 502);
    run.say("").await;
    assert_eq!(run.code().await, Some(4));
    let said = run.rest_of_stderr().await;
    let lines: Vec<&str> =
        said.lines().skip_while(|line| !line.starts_with("maskinporten-proxy: ")).collect();
    assert_eq!(lines[0], "maskinporten-proxy: 3 of 5 requests failed:", "{said}");
    assert!(lines[1].starts_with("  GET /nowhere 404: the client failed: "), "{said}");
    assert!(lines[2].starts_with("  GET /echo/y 403: a guard refused it: "), "{said}");
    assert!(
        lines[3].starts_with("  GET /echo/z?") && lines[3].contains(" 502: the upstream failed: "),
        "{said}"
    );
    assert!(!said.contains("hemmelig"), "{said}");
}

#[tokio::test]
async fn without_a_token_the_command_is_not_started() {
    let sandbox = sandbox().await;
    let client_id = sandbox.credentials().client_id.clone();
    let (dir, _) = echo(&sandbox).replace(&client_id, "6c6b9ba0-0000-4000-8000-000000000000").write();
    let ended = shell(dir.path(), "touch started").await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.lines().any(|line| line == "error: no token is to be had"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nhint: check client_id and environment"), "{}", ended.stderr);
    assert!(!dir.path().join("started").exists());
}

#[tokio::test]
async fn a_token_endpoint_that_is_back_in_a_moment_is_waited_for() {
    let (sandbox, dir) = ready().await;
    sandbox.control().faults().next(Service::Token, 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let ended = shell(dir.path(), "exit 5").await;
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_a_usage_error() {
    let sandbox = sandbox().await;
    let (dir, _) = echo(&sandbox).with("\nunknown_key = 1\n").write();
    let ended = shell(dir.path(), "touch started").await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(!dir.path().join("started").exists());
    let ended = run_in(dir.path(), &["run"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[tokio::test]
async fn signals_reach_the_command_and_its_answer_counts() {
    let (_sandbox, dir) = ready().await;
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script = format!("trap 'echo told; exit 9' {name}; echo ready; while :; do sleep 0.02; done");
        let mut run = Talking::start(talking(dir.path(), &[], &script));
        assert_eq!(run.line().await, "ready");
        kill_process(run.id(), signal).unwrap();
        assert_eq!(run.line().await, "told", "{name}");
        assert_eq!(run.code().await, Some(9), "{name}");
    }
}

#[tokio::test]
async fn a_signal_that_ends_the_command_ends_the_run_with_its_number() {
    let (_sandbox, dir) = ready().await;
    let mut run = Talking::start(talking(dir.path(), &[], "echo ready; exec sleep 60"));
    assert_eq!(run.line().await, "ready");
    kill_process(run.id(), Signal::TERM).unwrap();
    assert_eq!(run.code().await, Some(128 + 15));
}

#[tokio::test]
async fn a_signal_during_the_wait_for_tokens_ends_it_before_the_command() {
    let (sandbox, dir) = ready().await;
    sandbox.control().faults().always(Service::Token, Fault::silence());
    let mut run = Talking::start(talking(dir.path(), &[], "touch started"));
    sandbox.control().until(|counts| counts.token_requests > 0).await;
    kill_process(run.id(), Signal::TERM).unwrap();
    assert_eq!(run.code().await, Some(128 + 15), "{}", run.rest_of_stderr().await);
    assert!(!dir.path().join("started").exists());
}

/// Whether a process is there and not a mere entry that waits for its parent.
fn is_alive(pid: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
    let is_zombie =
        state.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")));
    !is_zombie && test_kill_process(pid).is_ok()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_that_is_killed_leaves_no_command_behind() {
    let (_sandbox, dir) = ready().await;
    let mut run = Talking::start(talking(dir.path(), &[], "echo $$; exec sleep 60"));
    let command = Pid::from_raw(run.line().await.parse().unwrap()).unwrap();
    assert!(is_alive(command));
    kill_process(run.id(), Signal::KILL).unwrap();
    assert_eq!(run.code().await, None);
    until("the command is gone", || async { !is_alive(command) }).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_command_s_name_and_group_are_as_if_it_had_been_started_alone() {
    let (_sandbox, dir) = ready().await;
    // Fields of stat: 1 is the id, 4 the parent, 5 the group.
    let mut run = Talking::start(talking(dir.path(), &[], "cut -d' ' -f1,4,5 /proc/$$/stat; read x"));
    let line = run.line().await;
    let numbers: Vec<i32> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers[1..], [run.id().as_raw_pid(), run.id().as_raw_pid()], "{line}");
    run.say("").await;
    assert_eq!(run.code().await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn signals_that_were_ignored_before_stay_ignored_as_under_nohup() {
    let (_sandbox, dir) = ready().await;
    let script = r#"trap '' HUP; exec "$0" run -- grep SigIgn /proc/self/status"#;
    let mut command = program(dir.path(), &[]);
    command = {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, BINARY]).current_dir(dir.path()).env_clear();
        shell.env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
        drop(command);
        shell
    };
    let ended = ended(command).await;
    let mask = ended.stdout.trim().rsplit(|c: char| c.is_whitespace()).next().unwrap();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 1, 1, "{ended:?}");
}

#[tokio::test]
async fn proxy_variables_lead_a_client_to_the_routed_host_with_a_token() {
    let (sandbox, dir) = ready().await;
    let script = "echo $MASKINPORTEN_PROXY_URL; env | grep -i -e '^https\\?_proxy=' -e '^no_proxy=' | sort; echo; read x";
    let mut command = talking(dir.path(), &["--proxy-env"], script);
    // The routed host is on loopback here, so nothing may lead round the proxy.
    command.env("NO_PROXY", "127.0.0.1,intern.example.no");
    let mut run = Talking::start(command);
    let url = run.line().await;
    let mut lines = Vec::new();
    loop {
        match run.line().await {
            line if line.is_empty() => break,
            line => lines.push(line),
        }
    }
    let expected = [
        format!("HTTPS_PROXY={url}"),
        format!("HTTP_PROXY={url}"),
        "NO_PROXY=intern.example.no".to_owned(),
        format!("http_proxy={url}"),
        format!("https_proxy={url}"),
        "no_proxy=intern.example.no".to_owned(),
    ];
    lines.sort();
    assert_eq!(lines, expected);
    // What a client does with HTTP_PROXY: the absolute form.
    let target = sandbox.addr();
    let mut raw = Raw::connect(address(&url)).await;
    let response =
        raw.exchange(format!("GET http://{target}/echo/x HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    run.say("").await;
    assert_eq!(run.code().await, Some(0));
}

#[tokio::test]
async fn without_being_asked_for_no_proxy_variable_is_set() {
    let (_sandbox, dir) = ready().await;
    let ended = shell(dir.path(), "env | grep -i _proxy= ; env | grep -e CERT -e BUNDLE; true").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn with_interception_the_command_trusts_the_local_ca_beside_all_else() {
    let sandbox = sandbox().await;
    let (dir, _) = echo(&sandbox).with("\n[forward]\nintercept = true\n").write();
    let made = run_in(dir.path(), &["ca", "init"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let root = std::fs::read_to_string(run_in(dir.path(), &["ca", "path"]).await.stdout.trim()).unwrap();
    let own = dir.path().join("own.pem");
    std::fs::write(&own, sandbox.credentials().ca_pem.as_bytes()).unwrap();

    let variables = [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "DENO_CERT",
    ];
    let print: String = variables.iter().map(|name| format!("echo ${name}; ")).collect();
    let script = format!("{print} cat $SSL_CERT_FILE");
    let mut command = talking(dir.path(), &["--proxy-env"], &script);
    command.env("REQUESTS_CA_BUNDLE", &own);
    let ended = ended(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut lines = ended.stdout.splitn(variables.len() + 1, '\n');
    let bundle = lines.next().unwrap();
    assert!(Path::new(bundle).is_absolute());
    for name in &variables[1..] {
        assert_eq!(lines.next(), Some(bundle), "{name}");
    }
    let trusted = lines.next().unwrap();
    assert!(trusted.contains(root.trim()), "the local root is missing");
    assert!(trusted.contains(sandbox.credentials().ca_pem.trim()), "what was trusted before is missing");
    let system = rustls_native_certs::load_native_certs().certs.len();
    assert!(trusted.matches("BEGIN CERTIFICATE").count() >= system + 2);
    let left: PathBuf = bundle.into();
    assert!(!left.parent().unwrap().exists(), "the bundle was left behind");
}

#[tokio::test]
async fn a_properties_file_of_the_old_tool_is_enough() {
    let sandbox = sandbox().await;
    let dir = tempfile::tempdir().unwrap();
    sandbox.write_out(dir.path()).unwrap();
    let properties = format!(
        "issuer={}\naudience={}\nscope=demo:api\ntoken.endpoint={}\nkeystore.file={}\nkeystore.kid={}\n",
        sandbox.credentials().client_id,
        sandbox.issuer(),
        sandbox.token_endpoint(),
        dir.path().join("key.pem").display(),
        sandbox.credentials().kid,
    );
    std::fs::write(dir.path().join("my.properties"), properties).unwrap();
    std::fs::remove_file(dir.path().join("proxy.toml")).unwrap();
    let script = "echo $MASKINPORTEN_PROXY_URL; read x";
    let echo = sandbox.echo_url();
    let mut run =
        Talking::start(talking(dir.path(), &["--config", "my.properties", "--upstream", &echo], script));
    let url = run.line().await;
    assert_eq!(get(&url, "/anything", "").await.json()["path"], "/echo/anything");
    run.say("").await;
    assert_eq!(run.code().await, Some(0));

    let ended = run_in(dir.path(), &["run", "--config", "my.properties", "--", "touch", "started"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: name the API with --upstream"), "{}", ended.stderr);
    assert!(!dir.path().join("started").exists());
}
