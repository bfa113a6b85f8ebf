//! `config show`: values, their sources, and no secret.

use crate::program::{ended, program, run_in};
use crate::support::{Setup, sandbox};

#[tokio::test]
async fn each_value_is_shown_with_its_source_and_secrets_as_stars() {
    let sandbox = sandbox().await;
    let (dir, _) = Setup::new(&sandbox)
        .route_with("echo", "/echo", &sandbox.echo_url(), "pid = \"01017000027\"\n")
        .replace("key = { file", "key = { password = \"hemmelig\", file")
        .write();
    let mut command = program(dir.path(), &["config", "show"]);
    command.env("MASKINPORTEN_PROXY_THREADS", "7");
    let shown = ended(command).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let line = |key: &str| {
        let line = shown.stdout.lines().find(|line| line.starts_with(&format!("{key} =")));
        line.unwrap_or_else(|| panic!("{key} is missing in {}", shown.stdout)).to_owned()
    };
    assert!(
        line("threads").starts_with("threads = 7 ") && line("threads").contains("MASKINPORTEN_PROXY_THREADS")
    );
    assert!(line("listen").ends_with("# from proxy.toml:1"), "{}", line("listen"));
    assert!(line("intercept").ends_with("# default"), "{}", line("intercept"));
    assert!(line("password").starts_with("password = \"***\""), "{}", line("password"));
    assert!(line("pid").starts_with("pid = \"***\""), "{}", line("pid"));

    let json = run_in(dir.path(), &["config", "show", "--json"]).await;
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let settings = value["settings"].as_array().unwrap();
    let upstream = settings.iter().find(|setting| setting["key"] == "routes[0].upstream").unwrap();
    assert_eq!(upstream["value"], sandbox.echo_url());
    for text in [&shown.stdout, &shown.stderr, &json.stdout, &json.stderr] {
        assert!(!text.contains("hemmelig") && !text.contains("01017000027"), "{text}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_told_of_with_place_and_mend() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("proxy.toml"), "lisen = \"127.0.0.1:8080\"\n").unwrap();
    let ended = run_in(dir.path(), &["config", "show"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("proxy.toml:1") && ended.stderr.contains("listen"), "{}", ended.stderr);
}
