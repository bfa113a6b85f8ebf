//! The start, the stop, and the files that are written out.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::support::*;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::secret::Secret;

#[tokio::test]
async fn it_tells_where_it_is() {
    let sandbox = start().await;
    let address = sandbox.addr();
    assert!(address.ip().is_loopback() && address.port() != 0);
    assert_eq!(sandbox.issuer(), format!("http://{address}/"));
    assert_eq!(sandbox.token_endpoint(), format!("http://{address}/token"));
    assert_eq!(sandbox.api_url(), format!("http://{address}"));
    assert_eq!(sandbox.altinn_url(), format!("http://{address}"));
    assert_eq!(sandbox.echo_url(), format!("http://{address}/echo"));
    let taken =
        Sandbox::start(SandboxOptions { listen: address, key: Some(key()), ..Default::default() }).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn bound_to_every_interface_it_is_reached_by_loopback() {
    let listen: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let sandbox = start_with(SandboxOptions { listen, ..Default::default() }).await;
    assert!(sandbox.issuer().starts_with("http://127.0.0.1:"));
    assert_eq!(send(&sandbox, "GET", "/", &[], "").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_makes_a_key_of_its_own_and_serves_many_at_once() {
    let sandbox = std::sync::Arc::new(Sandbox::start(SandboxOptions::default()).await.unwrap());
    assert_ne!(sandbox.credentials().key_pem, key());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let sandbox = std::sync::Arc::clone(&sandbox);
        tasks.spawn(async move {
            let token = token(&sandbox, "demo:api").await;
            get(&sandbox, "/echo", &token).await.status
        });
    }
    let statuses = tasks.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let counts = sandbox.control().counts();
    assert_eq!((counts.token_requests, counts.tokens_issued, counts.api_requests), (50, 50, 50));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let options = SandboxOptions { key: Some(Secret::from("not a key")), ..Default::default() };
    let error = Sandbox::start(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!error.to_string().contains("not a key,"), "{error}");
}

#[tokio::test]
async fn it_ends_when_dropped_or_stopped() {
    use tokio::io::AsyncReadExt;
    for stop in [true, false] {
        let sandbox = start().await;
        let (address, control) = (sandbox.addr(), sandbox.control());
        let mut open = tokio::net::TcpStream::connect(address).await.unwrap();
        send(&sandbox, "GET", "/.well-known/oauth-authorization-server", &[], "").await.unwrap();
        if stop {
            tokio::time::timeout(PATIENCE, sandbox.stop()).await.unwrap();
        } else {
            drop(sandbox);
        }
        let read = tokio::time::timeout(PATIENCE, open.read_u8()).await.expect("the connection closes");
        assert!(read.is_err());
        // The accept loop ends on its own turn after a drop.
        let refused = async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, refused).await.expect("the listener closes");
        assert_eq!(control.counts().metadata_requests, 1, "what was seen stays");
    }
}

#[tokio::test]
async fn files_are_written_and_only_its_own_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("ny/mappe");
    let sandbox = start().await;
    let written = sandbox.write_out(&directory).unwrap();
    let config = std::fs::read_to_string(&written.config).unwrap();
    let parsed: toml::Table = config.parse().unwrap();
    let client = &parsed["clients"]["sandbox"];
    assert_eq!(client["issuer"].as_str(), Some(sandbox.issuer().as_str()));
    assert_eq!(client["client_id"].as_str(), Some(sandbox.credentials().client_id.as_str()));
    assert_eq!(client["key"]["file"].as_str(), Some("key.pem"));
    let names: Vec<_> =
        parsed["routes"].as_array().unwrap().iter().map(|route| route["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["clients", "scopes", "echo"]);
    assert_eq!(std::fs::read_to_string(&written.key).unwrap(), *sandbox.credentials().key_pem.expose());
    let certificates = std::fs::read_to_string(&written.certificate).unwrap();
    assert_eq!(certificates.matches("BEGIN CERTIFICATE").count(), 3);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(written.key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    // A later sandbox takes its place.
    let later = start().await;
    later.write_out(&directory).unwrap();
    assert!(std::fs::read_to_string(&written.config).unwrap().contains(&later.issuer()));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 3, "something was left behind");

    // What a person wrote is left alone.
    std::fs::write(&written.config, "listen = \"127.0.0.1:1\"\n").unwrap();
    assert_eq!(later.write_out(&directory).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let foreign = folder.path().join("annen");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("key.pem"), "mine").unwrap();
    let error = later.write_out(&foreign).unwrap_err();
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert_eq!(std::fs::read_to_string(foreign.join("key.pem")).unwrap(), "mine");
    assert!(!foreign.join("proxy.toml").exists());
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let sandbox = start().await;
    let printed = format!("{sandbox:?} {:?} {:?}", sandbox.credentials(), sandbox.control());
    assert!(printed.contains(&sandbox.credentials().client_id), "the search would find what is there");
    let key = sandbox.credentials().key_pem.expose().lines().nth(1).unwrap();
    assert!(!printed.contains(key));
}
