//! `init`: from answers, by flags or line by line, to a proxy.toml that works.

use std::path::{Path, PathBuf};

use crate::program::{Ended, Talking, ended, program, run_in};
use crate::support::sandbox;

fn keystore(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

/// `config show` of the proxy.toml in `folder`.
async fn shown(folder: &Path) -> String {
    let ended = run_in(folder, &["config", "show"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

/// The value that `config show` has for a key.
fn value<'a>(shown: &'a str, key: &str) -> Option<&'a str> {
    let line = shown.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")))?;
    Some(line.split("  #").next().unwrap_or(line).trim())
}

async fn with_lines(folder: &Path, arguments: &[&str], lines: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = program(folder, arguments);
    command.envs(env.iter().copied());
    let input = folder.join("answers");
    std::fs::write(&input, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    command.stdin(std::fs::File::open(&input).unwrap());
    ended(command).await
}

#[tokio::test]
async fn flags_alone_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(keystore("one.jks"), dir.path().join("virksomhet.jks")).unwrap();
    let ended = run_in(
        dir.path(),
        &[
            "init",
            "--no-input",
            "--client-id",
            "my-client",
            "--key",
            "virksomhet.jks",
            "--password-env",
            "STORE",
        ],
    )
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("wrote proxy.toml\n"), "{}", ended.stdout);
    for step in
        ["read -rs STORE && export STORE", "maskinporten-proxy check\n", "curl http://localhost:8080/clients"]
    {
        assert!(ended.stdout.contains(step), "{}", ended.stdout);
    }
    let shown = shown(dir.path()).await;
    for (key, expected) in [
        ("environment", "\"test\""),
        ("client_id", "\"my-client\""),
        ("password", "{ env = \"STORE\" }"),
        ("path", "\"/clients\""),
        ("name", "\"clients\""),
        ("upstream", "\"https://api.test.samarbeid.digdir.no/clients\""),
        ("scopes", "[\"idporten:dcr.read\"]"),
    ] {
        assert_eq!(value(&shown, key), Some(expected), "{shown}");
    }
    assert_eq!(value(&shown, "kid"), None, "{shown}");
}

#[tokio::test]
async fn a_file_that_is_there_is_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy.toml");
    std::fs::write(&file, "# mine").unwrap();
    let arguments = ["init", "--no-input", "--client-id", "x", "--key", "k.p12"];
    let ended = run_in(dir.path(), &arguments).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("exists already; nothing was changed\nhint: "), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine");

    // Nor what a link leads to, be it nothing yet.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("elsewhere", &file).unwrap();
    assert_eq!(run_in(dir.path(), &arguments).await.code, Some(1));
    assert!(!dir.path().join("elsewhere").exists());
}

#[tokio::test]
async fn what_is_needed_and_not_given_is_named_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, flag) in [
        (["init", "--no-input"].as_slice(), "--client-id"),
        (&["init", "--no-input", "--client-id", "x"], "--key"),
        (
            &["init", "--no-input", "--client-id", "x", "--key", "k", "--upstream", "https://api.example.no"],
            "--scope",
        ),
        // The end of the input is as good as nobody there to ask.
        (&["init"], "--client-id"),
    ] {
        let ended = run_in(dir.path(), arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.ends_with(&format!("hint: give it with {flag}\n")), "{}", ended.stderr);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn an_answer_that_will_not_do_writes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let given = ["init", "--no-input", "--client-id", "x", "--key", "k.p12", "--scope", "a:b"];
    for more in [
        ["--upstream", "http://api.example.no"],
        ["--path", "clients"],
        ["--issuer", "https://example.no/without-slash"],
        ["--password-env", "my secret!"],
        ["--client-id", "two words"],
    ] {
        let mut arguments: Vec<&str> = given.to_vec();
        if more[0] == "--client-id" {
            arguments.drain(2..4);
        }
        arguments.extend(more);
        let ended = run_in(dir.path(), &arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{more:?}: {}", ended.stderr);
        assert!(!dir.path().join("proxy.toml").exists(), "{more:?}");
        assert!(!ended.stderr.contains("my secret!"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn answers_come_line_by_line_where_there_is_no_terminal() {
    let sandbox = sandbox().await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("my.pem");
    std::fs::write(&key, sandbox.credentials().key_pem.expose()).unwrap();
    let credentials = sandbox.credentials();
    let echo = sandbox.echo_url();
    let lines =
        [&sandbox.issuer(), &credentials.client_id, "my.pem", &credentials.kid, &echo, "demo:api", ""];
    let done = with_lines(dir.path(), &["init"], &lines, &[]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let shown = shown(dir.path()).await;
    assert_eq!(value(&shown, "issuer"), Some(format!("\"{}\"", sandbox.issuer()).as_str()), "{shown}");
    assert_eq!(value(&shown, "path"), Some("\"/echo\""), "{shown}");

    // And it works.
    let token = run_in(dir.path(), &["token"]).await;
    assert_eq!(token.code, Some(0), "{}", token.stderr);
    assert!(token.stdout.starts_with("ey"), "{}", token.stdout);
}

#[tokio::test]
async fn a_keystore_with_several_keys_offers_them_and_the_password_stays_out_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(keystore("several.p12"), dir.path().join("s.p12")).unwrap();
    let lines = ["", "my-client", "s.p12", "MY_PASSWORD", "", "", "", "", ""];
    let done = with_lines(dir.path(), &["init"], &lines, &[("MY_PASSWORD", "changeit")]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("The keystore holds several private keys:\n"), "{}", done.stderr);
    assert!(
        done.stderr.contains("(signing key)") && done.stderr.contains("(not for signing)"),
        "{}",
        done.stderr
    );
    let shown = shown(dir.path()).await;
    let alias = value(&shown, "alias").expect("the signing key's alias");
    let offered = done.stderr.lines().find(|line| line.ends_with("(signing key)")).unwrap();
    assert!(offered.contains(alias.trim_matches('"')), "{alias} is not that of {offered}");
    assert_eq!(value(&shown, "password"), Some("{ env = \"MY_PASSWORD\" }"));
    let text = std::fs::read_to_string(dir.path().join("proxy.toml")).unwrap();
    assert!(!text.contains("changeit") && !done.stderr.contains("changeit"), "{text}");
}

#[tokio::test]
async fn a_key_can_be_chosen_by_its_number_and_a_wrong_choice_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(keystore("two-signing.p12"), dir.path().join("s.p12")).unwrap();
    let env = [("KEYSTORE_PASSWORD", "changeit")];
    let wrong = with_lines(dir.path(), &["init"], &["", "c", "s.p12", "", "9"], &env).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("it is one of: "), "{}", wrong.stderr);
    let done = with_lines(dir.path(), &["init"], &["", "c", "s.p12", "", "2", "", "", "", ""], &env).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let second = done.stderr.lines().find_map(|line| line.strip_prefix("  2  ")).unwrap();
    let shown = shown(dir.path()).await;
    let alias = value(&shown, "alias").unwrap().trim_matches('"').to_owned();
    assert!(second.starts_with(&format!("{alias}:")), "{alias} is not {second}");
}

#[tokio::test]
async fn a_key_that_is_not_there_yet_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run_in(dir.path(), &["init", "--no-input", "--client-id", "x", "--key", "later.p12"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("warning: later.p12 cannot be read"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_in_another_folder_still_finds_the_key() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("conf")).unwrap();
    std::fs::copy(keystore("kid.jwk"), dir.path().join("key.jwk")).unwrap();
    let arguments = ["init", "--no-input", "--client-id", "x", "--key", "key.jwk", "--out", "conf/my.toml"];
    let ended = run_in(dir.path(), &arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("serve --config conf/my.toml"), "{}", ended.stdout);
    let shown = run_in(dir.path(), &["config", "show", "--config", "conf/my.toml"]).await.stdout;
    let file = value(&shown, "file").unwrap().trim_matches('"').to_owned();
    assert!(Path::new(&file).exists(), "{file}");
    // A JWK says its own key id.
    assert_eq!(value(&shown, "kid"), None, "{shown}");
}

#[tokio::test]
async fn questions_are_asked_on_stderr_with_what_an_empty_answer_means() {
    let dir = tempfile::tempdir().unwrap();
    let mut talking = Talking::start(program(dir.path(), &["init", "--client-id", "x", "--key", "k.p12"]));
    for _ in 0..6 {
        talking.say("").await;
    }
    assert_eq!(talking.line().await, "wrote proxy.toml");
    assert_eq!(talking.code().await, Some(0));
    let asked = talking.rest_of_stderr().await;
    assert!(asked.contains("the URL of another issuer [test]: "), "{asked}");
    assert!(asked.contains("The API's URL [https://api.test.samarbeid.digdir.no/clients]: "), "{asked}");
    assert!(!asked.contains("Client id"), "{asked}");
}
