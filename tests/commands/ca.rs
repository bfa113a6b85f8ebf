//! `ca`: the local CA, made once, shown, and replaced only when that is asked for.

use std::path::Path;

use crate::program::run_in;
use crate::support::{Setup, sandbox};

async fn folder() -> tempfile::TempDir {
    let sandbox = sandbox().await;
    let (dir, _) = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).write();
    dir
}

#[tokio::test]
async fn a_ca_is_made_once_and_a_plain_init_changes_nothing_after_that() {
    let dir = folder().await;
    let made = run_in(dir.path(), &["ca", "init"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("can vouch for     127.0.0.1, and nothing else"), "{}", made.stdout);
    assert!(made.stdout.contains("intercept = true"), "{}", made.stdout);
    let files = maskinporten_proxy::ca::files(&dir.path().join("maskinporten-proxy-ca"));
    let before = files.clone().map(|file| std::fs::read(file).unwrap());

    let again = run_in(dir.path(), &["ca", "init"]).await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(again.stderr.contains("already; nothing was changed"), "{}", again.stderr);
    assert!(again.stderr.contains("hint: ") && again.stderr.contains("ca init --force"), "{}", again.stderr);
    assert_eq!(files.clone().map(|file| std::fs::read(file).unwrap()), before);

    let forced = run_in(dir.path(), &["ca", "init", "--force"]).await;
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert!(forced.stdout.starts_with("made a new CA in place of the old one"), "{}", forced.stdout);
    let after = files.map(|file| std::fs::read(file).unwrap());
    assert!(after.iter().zip(&before).all(|(after, before)| after != before));
}

#[tokio::test]
async fn the_path_is_absolute_and_stands_alone() {
    let dir = folder().await;
    assert_eq!(run_in(dir.path(), &["ca", "init"]).await.code, Some(0));
    let ended = run_in(dir.path(), &["ca", "path"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let path = Path::new(ended.stdout.strip_suffix('\n').unwrap());
    assert!(path.is_absolute() && !ended.stdout.trim_end().contains('\n'), "{}", ended.stdout);
    assert!(std::fs::read_to_string(path).unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[tokio::test]
async fn show_tells_the_fingerprint_the_names_and_how_to_trust_and_untrust() {
    let dir = folder().await;
    assert_eq!(run_in(dir.path(), &["ca", "init"]).await.code, Some(0));
    let ended = run_in(dir.path(), &["ca", "show"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for part in
        ["root certificate  /", "SHA-256           ", "can vouch for     127.0.0.1", "Postman", "undo: "]
    {
        assert!(ended.stdout.contains(part), "{part} is missing in {}", ended.stdout);
    }
}

#[tokio::test]
async fn without_a_ca_show_and_path_say_how_to_make_one() {
    let dir = folder().await;
    for what in ["show", "path"] {
        let ended = run_in(dir.path(), &["ca", what]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("hint: make one with `maskinporten-proxy ca init`"),
            "{}",
            ended.stderr
        );
    }
    assert!(!dir.path().join("maskinporten-proxy-ca").exists());
}

#[tokio::test]
async fn without_a_configuration_there_is_nothing_to_vouch_for() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run_in(dir.path(), &["ca", "init"]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
