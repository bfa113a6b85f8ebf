//! Help, completions and the manual page come from one definition, and none leaves a command out.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::program::run_in;

async fn output(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let ended = run_in(dir.path(), arguments).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

/// The commands that `--help` lists, those beneath others as in `ca-init`.
async fn commands() -> Vec<String> {
    let mut all = Vec::new();
    for command in listed(&["--help"]).await {
        for beneath in listed(&[&command, "--help"]).await {
            all.push(format!("{command}-{beneath}"));
        }
        all.push(command);
    }
    assert!(all.len() >= 20, "{all:?}");
    assert!(
        ["run", "ca-path", "key-inspect", "config-show"].iter().all(|name| all.iter().any(|n| n == name))
    );
    all
}

async fn listed(arguments: &[&str]) -> Vec<String> {
    if arguments[0] == "help" {
        return Vec::new();
    }
    let help = output(arguments).await;
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest).split("\n\n").next().unwrap();
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

#[tokio::test]
async fn the_manual_has_a_section_for_every_command_with_the_flags_of_all() {
    let manual = output(&["man"]).await;
    for command in commands().await {
        let heading = format!(".TH maskinporten-proxy-{command} ");
        let section = manual.split_once(&heading).unwrap_or_else(|| panic!("{command} is missing")).1;
        let section = section.split("\n.TH ").next().unwrap();
        assert!(section.contains("\\-\\-config"), "{command} is without --config: {section}");
    }
}

#[tokio::test]
async fn completions_know_every_command_and_show_nothing_of_the_inside() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = output(&["completions", shell]).await;
        for command in commands().await {
            for word in command.split('-') {
                assert!(script.contains(word), "{command} is missing for {shell}");
            }
        }
        assert!(!script.contains("run:become"), "{shell}");
    }
}

#[tokio::test]
async fn bash_can_read_its_completions() {
    let script = output(&["completions", "bash"]).await;
    let mut bash = match Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(bash) => bash,
        Err(error) => return eprintln!("skipped: there is no bash here ({error})"),
    };
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = bash.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn a_command_that_is_not_there_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [["serv"].as_slice(), &["--no-such-flag"], &["ca"], &["completions", "tcsh"]] {
        let ended = run_in(dir.path(), arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}");
    }
}
