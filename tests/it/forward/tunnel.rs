//! CONNECT to hosts that no route names: bytes that nobody looks at.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tls::{self, TlsFront};
use super::{World, connect, connect_with, slug, tunnel};
use crate::support::{Answer, Setup, Upstream, sandbox};

#[tokio::test]
async fn a_blind_tunnel_is_untouched_end_to_end() {
    let sandbox = sandbox().await;
    // Interception is on, and the local CA covers the routed host alone.
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let other = Upstream::always(Answer::ok("over its own TLS")).await;
    let front = TlsFront::start(&["localhost"], &other).await;
    let stream = tunnel(&app, &format!("localhost:{}", front.address.port())).await;
    // Only the server's own CA is trusted here, so nobody can have stood in between.
    let stream =
        tls::handshake(tls::trusting(&front.ca, &[]), "localhost", stream).await.expect("a handshake");
    let mut raw = tls::raw_inside(stream).await;
    let response =
        raw.exchange("GET /x HTTP/1.1\r\nHost: whatever\r\nConnection: Authorization\r\n\r\n").await;
    assert_eq!(response.text(), "over its own TLS");
    assert_eq!(
        other.seen()[0].head,
        "GET /x HTTP/1.1\r\nHost: whatever\r\nConnection: Authorization\r\n\r\n"
    );
}

#[tokio::test]
async fn bytes_that_come_with_the_connect_and_a_half_close_get_through() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let there = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("bytes to the end");
        // Nothing is sent before the client's side has ended.
        stream.write_all(b"and back \0\xff").await.expect("a written answer");
        received
    });
    let mut raw = app.connect().await;
    raw.write(format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n\r\n\0early\r\n\r\nbytes")).await;
    assert_eq!(raw.response_to("CONNECT").await.status, 200);
    raw.write(b"\xff later").await;
    raw.shutdown().await;
    assert_eq!(raw.rest().await, b"and back \0\xff");
    assert_eq!(server.await.expect("a server"), b"\0early\r\n\r\nbytes\xff later");
}

#[tokio::test]
async fn the_answer_to_a_connect_has_no_framing() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    for authority in ["api.example.test:443", "other.example.test:80"] {
        let (response, _) = connect(&app, authority).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-length"), None, "{}", response.head);
        assert_eq!(response.header("transfer-encoding"), None, "{}", response.head);
    }
}

#[tokio::test]
async fn an_http_1_0_client_without_host_can_open_a_tunnel() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    // As Python's http.client does it.
    let mut raw = app.connect().await;
    raw.write("CONNECT other.example.test:80 HTTP/1.0\r\n\r\n").await;
    assert_eq!(raw.response_to("CONNECT").await.status, 200);
    let response = raw.exchange("GET / HTTP/1.1\r\nHost: other.example.test\r\n\r\n").await;
    assert_eq!(response.text(), "from another host");
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_told_before_the_tunnel_opens() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let (response, _) = connect(&app, "unknown.example.test:443").await;
    assert_eq!((response.status, slug(&response).as_str()), (502, "outbound-proxy"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = listener.local_addr().expect("an address");
    drop(listener);
    let (response, _) = connect(&app, &closed.to_string()).await;
    assert_eq!((response.status, slug(&response).as_str()), (502, "upstream-refused"));
}

#[tokio::test]
async fn the_inbound_password_is_asked_for_in_connect() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).with("\n[inbound]\npassword = \"correct horse\"\n").start().await;
    for authority in ["api.example.test:443", "other.example.test:80"] {
        for credentials in
            ["", "Proxy-Authorization: Basic YTpi\r\n", "Authorization: Bearer correct horse\r\n"]
        {
            let (response, _) = connect_with(&app, authority, credentials).await;
            assert_eq!((response.status, slug(&response).as_str()), (407, "proxy-password"), "{credentials}");
            let challenges = response.headers("proxy-authenticate").join(", ");
            assert!(challenges.contains("Basic"), "{challenges}");
        }
        // any:correct horse
        let basic = "Proxy-Authorization: Basic YW55OmNvcnJlY3QgaG9yc2U=\r\n";
        for credentials in [basic, "Proxy-Authorization: Bearer correct horse\r\n"] {
            let (response, _) = connect_with(&app, authority, credentials).await;
            assert_eq!(response.status, 200, "{authority} {credentials}");
        }
    }
    assert_eq!(world.outbound.asked(), ["other.example.test:80"; 2]);

    // Inside the tunnel the password was given already, and it is never passed on.
    let (_, raw) =
        connect_with(&app, "api.example.test:443", "Proxy-Authorization: Bearer correct horse\r\n").await;
    let trusting = tls::trusting(&super::root_of(&app), &[]);
    let stream = tls::handshake(trusting, super::API, raw.into_inner()).await.expect("a handshake");
    let mut raw = tls::raw_inside(stream).await;
    let response = raw.exchange("GET /v1/x HTTP/1.1\r\nHost: api.example.test\r\n\r\n").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(world.api.seen()[0].header("proxy-authorization"), None);
}
