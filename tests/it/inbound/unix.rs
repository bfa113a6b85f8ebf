//! `listen = "unix:…"`: a listener that has an owner.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tokio::net::UnixStream;

use super::{exchange, write_config};
use crate::support::program::run;
use crate::support::{Answer, App, Setup, Upstream, sandbox};

async fn app(upstream: &Upstream, socket: &Path) -> App {
    let sandbox = sandbox().await;
    Setup::new(&sandbox)
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"unix:{}\"", socket.display()))
        .replace("admin = \"127.0.0.1:0\"", &format!("admin = \"unix:{}.admin\"", socket.display()))
        .route("api", "/", &upstream.url())
        .start()
        .await
}

async fn get(socket: &Path, path: &str, fields: &str) -> String {
    let stream = UnixStream::connect(socket).await.expect("a connection");
    exchange(stream, &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n")).await
}

#[tokio::test]
async fn a_socket_is_the_owners_alone_and_serves_as_a_port_does() {
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("p.sock");
    let admin = dir.path().join("p.sock.admin");
    let app = app(&upstream, &socket).await;
    for path in [&socket, &admin] {
        let metadata = std::fs::symlink_metadata(path).expect("a socket");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    // The folder that it was made in is gone.
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2);
    // What curl --unix-socket sends, and what is no loopback name all the same.
    let answer = get(&socket, "/x", "Host: localhost\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    let answer = get(&socket, "/x", "Host: evil.com\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let answer = get(&socket, "/x", "Host: localhost\r\nOrigin: http://evil.com\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let answer = get(&admin, "/api/status", "Host: localhost\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(upstream.seen().len(), 1);
    drop(app);
    assert!(!socket.exists() && !admin.exists(), "the sockets go with the program");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("p.sock");
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let stale = std::fs::symlink_metadata(&socket).expect("a socket").ino();
    let first = app(&upstream, &socket).await;
    assert_ne!(std::fs::symlink_metadata(&socket).expect("a socket").ino(), stale);

    let (sandbox, other) = (sandbox().await, tempfile::tempdir().expect("a folder"));
    let listen = format!("listen = \"unix:{}\"\nadmin = \"off\"", socket.display());
    write_config(other.path(), &sandbox, &listen, "");
    let ended = run(other.path(), &[], &["serve"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("already listens"), "{}", ended.stderr);
    let answer = get(&socket, "/x", "Host: localhost\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "the first goes on: {answer}");
    drop(first);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let (sandbox, dir) = (sandbox().await, tempfile::tempdir().expect("a folder"));
    std::fs::write(dir.path().join("precious"), "text").expect("a file");
    write_config(dir.path(), &sandbox, "listen = \"unix:precious\"\nadmin = \"off\"", "");
    let ended = run(dir.path(), &[], &["serve"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("not a socket"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(dir.path().join("precious")).expect("a file"), "text");
}
