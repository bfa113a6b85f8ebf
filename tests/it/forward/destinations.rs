//! Places that nobody is to reach by way of the proxy, judged on the address behind the name.

use super::{connect, connect_with, get, slug};
use crate::support::{Answer, RawResponse, Setup, Upstream, sandbox};

#[track_caller]
fn assert_prohibited(response: &RawResponse, what: &str) {
    assert_eq!((response.status, slug(response).as_str()), (403, "destination-prohibited"), "{what}");
    let status = response.header("proxy-status").expect("a Proxy-Status");
    assert!(status.contains("destination_ip_prohibited"), "{what}: {status}");
}

#[tokio::test]
async fn the_proxys_own_listeners_are_out_of_reach_by_every_name() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("never asked")).await;
    let app = Setup::new(&sandbox).route("api", "/api", &upstream.url()).start().await;
    let loopback = [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "any.localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    for host in loopback {
        for port in [app.proxy.port(), app.admin.port()] {
            let authority = format!("{host}:{port}");
            let (response, _) = connect(&app, &authority).await;
            assert_prohibited(&response, &format!("CONNECT {authority}"));
        }
        let url = format!("http://{host}:{}/api/status", app.admin.port());
        assert_prohibited(&get(&app, &url).await, &url);
    }
    // What is no loopback name is not the proxy's own address in absolute form either.
    for host in ["[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = format!("http://{host}:{}/api/x", app.proxy.port());
        assert_prohibited(&get(&app, &url).await, &url);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn other_services_of_the_clients_own_machine_are_in_reach() {
    let sandbox = sandbox().await;
    let service = Upstream::always(Answer::ok("a service")).await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let port = service.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        assert_eq!(get(&app, &format!("http://{host}:{port}/")).await.text(), "a service", "{host}");
    }
}

#[tokio::test]
async fn link_local_and_metadata_addresses_are_out_of_reach() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let (response, _) = connect(&app, &format!("{host}:80")).await;
        assert_prohibited(&response, &format!("CONNECT {host}"));
        assert_prohibited(&get(&app, &format!("http://{host}/latest/meta-data/")).await, host);
    }
}

#[tokio::test]
async fn an_exposed_proxy_does_not_lend_out_its_loopback() {
    let sandbox = sandbox().await;
    let service = Upstream::always(Answer::ok("a private service")).await;
    let app = Setup::new(&sandbox)
        .replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"")
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[inbound]\npassword = \"secret\"\n\n[forward]\nother_hosts = \"tunnel\"\n")
        .start()
        .await;
    let password = "Proxy-Authorization: Bearer secret\r\n";
    let port = service.address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let authority = format!("{host}:{port}");
        let (response, _) = connect_with(&app, &authority, password).await;
        assert_prohibited(&response, &authority);
        let request = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{password}\r\n");
        assert_prohibited(&app.raw(&request).await, &authority);
    }
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn other_hosts_are_denied_where_the_proxy_is_exposed() {
    let sandbox = sandbox().await;
    let service = Upstream::always(Answer::ok("never asked")).await;
    let app = Setup::new(&sandbox)
        .replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"")
        .route("echo", "/echo", &sandbox.echo_url())
        .with("\n[inbound]\npassword = \"secret\"\n")
        .start()
        .await;
    let authority = service.address.to_string();
    let (response, _) = connect_with(&app, &authority, "Proxy-Authorization: Bearer secret\r\n").await;
    assert_eq!((response.status, slug(&response).as_str()), (403, "other-host-denied"));
}
