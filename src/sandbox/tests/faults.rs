use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::*;
use crate::sandbox::{Fault, Outcome, Sandbox, Service};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const EXCHANGE: &str = "/authentication/api/v1/exchange/maskinporten";

/// The raw bytes of an answer up to the end of the connection, and how that ended.
async fn raw(sandbox: &Sandbox, head: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    (bytes, read.map(|_| ()))
}

fn echo_head(token: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")
}

#[tokio::test]
async fn each_service_fails_on_its_own() {
    let sandbox = start().await;
    let faults = sandbox.control().faults().clone();
    let token = token(&sandbox, "demo:api idporten:dcr.read").await;
    let down = Fault::status(StatusCode::BAD_GATEWAY).body("nede").header(CONTENT_TYPE, "text/plain");
    let statuses = async || {
        let metadata = send(&sandbox, "GET", METADATA, &[], "").await.unwrap().status.as_u16();
        let grant = Maker::new(&sandbox, "demo:api").post(&sandbox).await.status.as_u16();
        let altinn = get(&sandbox, EXCHANGE, &token).await.status.as_u16();
        let echo = get(&sandbox, "/echo", &token).await.status.as_u16();
        let clients = get(&sandbox, "/clients", &token).await.status.as_u16();
        [metadata, grant, altinn, echo, clients]
    };
    let cases = [
        (Service::Metadata, [502, 200, 200, 200, 200]),
        (Service::Token, [200, 502, 200, 200, 200]),
        (Service::Altinn, [200, 200, 502, 200, 200]),
        (Service::Api, [200, 200, 200, 502, 502]),
    ];
    for (service, expected) in cases {
        faults.always(service, down.clone());
        assert_eq!(statuses().await, expected, "{service:?}");
        faults.clear(service);
        assert_eq!(statuses().await, [200; 5], "{service:?} cleared");
    }
}

#[tokio::test]
async fn faults_come_in_their_order() {
    let sandbox = start().await;
    let faults = sandbox.control().faults().clone();
    let token = token(&sandbox, "demo:api").await;
    let status = |code: u16| Fault::status(StatusCode::from_u16(code).unwrap());
    faults.always(Service::Api, status(500));
    faults.schedule(Service::Api, move |n| (n == 1).then(|| status(501)));
    faults.next(Service::Api, 2, status(502));
    faults.next(Service::Api, 1, status(503));
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(get(&sandbox, "/echo", &token).await.status.as_u16());
    }
    assert_eq!(seen, [502, 502, 503, 500, 501, 500]);
}

#[tokio::test]
async fn answers_of_any_kind_take_the_endpoints_place() {
    let sandbox = start().await;
    let control = sandbox.control();
    let post = async |fault: Fault| {
        control.faults().next(Service::Token, 1, fault);
        Maker::new(&sandbox, "demo:api").post(&sandbox).await
    };
    let busy = post(Fault::unavailable("7")).await;
    assert_eq!((busy.status.as_u16(), busy.header("retry-after")), (503, "7"));
    let limited =
        Fault::status(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, "Fri, 31 Dec 1999 23:59:59 GMT");
    assert_eq!(post(limited).await.header("retry-after"), "Fri, 31 Dec 1999 23:59:59 GMT");
    let empty = post(Fault::empty()).await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
    let html = post(Fault::html()).await;
    assert_eq!((html.status.as_u16(), html.header("content-type")), (200, "text/html"));
    let truncated = post(Fault::truncated_json()).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&truncated.body).is_err());
    let redirect = post(Fault::redirect(StatusCode::TEMPORARY_REDIRECT, "https://evil.example/token")).await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (307, "https://evil.example/token"));
    let refused = post(Fault::refusal("MP-012").unwrap()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "MP-012"));
    assert!(Fault::refusal("MP-999").is_none());

    let outcomes: Vec<_> = control.token_requests().into_iter().map(|request| request.outcome).collect();
    assert_eq!(outcomes[..6], vec![Outcome::Fault; 6]);
    assert_eq!(outcomes[6], Outcome::Refused("MP-012".to_owned()));
    assert_eq!(control.token_requests()[0].claims.text("scope"), Some("demo:api"), "it was looked at");
    assert_eq!(control.counts().tokens_issued, 0);
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.status, 200);
}

#[tokio::test]
async fn every_code_can_be_asked_for_by_name() {
    let sandbox = start().await;
    let codes = "011 012 100 110 120 121 122 123 124 130 200 201 250 251 301 302 303";
    for code in codes.split(' ').map(|number| format!("MP-{number}")) {
        sandbox.control().faults().next(Service::Token, 1, Fault::refusal(&code).unwrap());
        assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.code(), code);
    }
}

#[tokio::test]
async fn members_of_the_token_answer_are_changed_or_left_out() {
    let sandbox = start().await;
    let control = sandbox.control();
    let post = async |raw: Option<&str>| {
        control.faults().next(Service::Token, 1, Fault::member("expires_in", raw));
        let answer = Maker::new(&sandbox, "demo:api").post(&sandbox).await;
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    for raw in ["0", "-1", "\"119\"", "NaN", "119000", "1e400", "null"] {
        let body = post(Some(raw)).await;
        assert!(body.ends_with(&format!("\"expires_in\":{raw}}}")), "{body}");
        assert_eq!(body.matches("expires_in").count(), 1);
    }
    assert!(!post(None).await.contains("expires_in"));
    control.faults().next(Service::Token, 1, Fault::member("access_token", None));
    let answer = Maker::new(&sandbox, "demo:api").post(&sandbox).await.json();
    assert!(answer.get("access_token").is_none() && answer["expires_in"] == 119);
    control.faults().next(Service::Metadata, 1, Fault::member("issuer", Some("\"https://evil.example/\"")));
    let metadata = send(&sandbox, "GET", METADATA, &[], "").await.unwrap().json();
    assert_eq!(metadata["issuer"], "https://evil.example/");
    assert_eq!(metadata["token_endpoint"], sandbox.token_endpoint());
}

#[tokio::test]
async fn a_connection_is_closed_or_reset_before_the_answer() {
    let sandbox = start().await;
    let control = sandbox.control();
    let token = token(&sandbox, "demo:api").await;
    let head = echo_head(&token, "/echo");
    control.faults().next(Service::Api, 1, Fault::close());
    let (bytes, end) = raw(&sandbox, &head).await;
    assert!(bytes.is_empty() && end.is_ok(), "{end:?}");
    control.faults().next(Service::Api, 1, Fault::reset());
    let (bytes, end) = raw(&sandbox, &head).await;
    assert!(bytes.is_empty());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(control.counts().api_requests, 2, "the requests were carried out");
}

#[tokio::test]
async fn an_answer_is_cut_in_its_head_or_its_body() {
    let sandbox = start().await;
    let control = sandbox.control();
    let token = token(&sandbox, "demo:api").await;
    control.faults().next(Service::Api, 1, Fault::cut(20));
    let (bytes, _) = raw(&sandbox, &echo_head(&token, "/echo")).await;
    assert_eq!(bytes.len(), 20);
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK"));

    for (path, kept) in [("/echo", 5), ("/echo", 0), ("/echo/bytes/1000000", 700_000)] {
        control.faults().next(Service::Api, 1, Fault::break_body(kept));
        let (bytes, _) = raw(&sandbox, &echo_head(&token, path)).await;
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert_eq!((bytes.len() - head) as u64, kept, "{path}");
        let announced = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        assert!(announced.contains("content-length: "), "{announced}");
        control.faults().next(Service::Api, 1, Fault::break_body(kept));
        assert!(
            send(&sandbox, "GET", path, &[("authorization", &format!("Bearer {token}"))], "").await.is_err()
        );
    }
    assert_eq!(get(&sandbox, "/echo", &token).await.status, 200);
}

#[tokio::test]
async fn an_endless_answer_has_no_end() {
    let sandbox = start().await;
    sandbox.control().faults().next(Service::Token, 1, Fault::endless());
    let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut left = 5_000_000;
    let mut buffer = vec![0; 65_536];
    while left > 0 {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "it ended");
        left -= read.min(left);
    }
}

#[tokio::test]
async fn an_answer_is_late_or_never_comes() {
    let sandbox = start().await;
    let control = sandbox.control();
    control.faults().next(Service::Token, 1, Fault::delay(Duration::from_millis(40)));
    let began = std::time::Instant::now();
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(40));
    let slow_failure = Fault::status(StatusCode::BAD_GATEWAY).after(Duration::from_millis(20));
    control.faults().next(Service::Token, 1, slow_failure);
    let began = std::time::Instant::now();
    assert_eq!(Maker::new(&sandbox, "demo:api").post(&sandbox).await.status, 502);
    assert!(began.elapsed() >= Duration::from_millis(20));

    control.faults().next(Service::Token, 1, Fault::silence());
    let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let seen = control.until(|counts| counts.token_requests == 3);
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(wait.is_err(), "it answered");
    drop(stream);
    tokio::time::timeout(PATIENCE, control.until(|counts| counts.abandoned == 1)).await.unwrap();
}

#[tokio::test]
async fn a_token_is_judged_when_it_arrives_though_a_fault_answers() {
    let sandbox = start().await;
    let control = sandbox.control();
    let token = token(&sandbox, "demo:api").await;
    control.faults().always(Service::Api, Fault::unauthorized());
    let answer = get(&sandbox, "/echo", &token).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").contains("invalid_token"));
    assert_eq!(control.counts().dead_tokens, 0);
    assert!(control.api_requests()[0].token.is_some());
    control.revoke_tokens();
    get(&sandbox, "/echo", &token).await;
    assert_eq!((control.counts().dead_tokens, control.counts().api_requests), (1, 2));
}

#[tokio::test]
async fn clock_and_date_are_moved_apart() {
    let sandbox = start().await;
    let control = sandbox.control();
    let off = |answer: &Answer| {
        let date = httpdate::parse_http_date(answer.header("date")).unwrap();
        let there = seconds(date) as i64;
        there - seconds(std::time::SystemTime::now()) as i64
    };
    let now = seconds(std::time::SystemTime::now());
    let ours = || Maker::new(&sandbox, "demo:api").claim("iat", now).claim("exp", now + 120);
    let answer = ours().post(&sandbox).await;
    assert!((-2..=2).contains(&off(&answer)), "{}", off(&answer));

    control.set_clock_offset(-60);
    let answer = ours().post(&sandbox).await;
    assert_eq!(answer.code(), "Invalid assertion. Issue time is after now.");
    assert!((-62..=-58).contains(&off(&answer)), "{}", off(&answer));
    control.set_clock_offset(300);
    assert_eq!(ours().post(&sandbox).await.code(), "MP-130");
    control.set_clock_offset(0);
    control.set_date_offset(86_400);
    let answer = ours().post(&sandbox).await;
    assert_eq!(answer.status, 200);
    assert!((86_398..=86_402).contains(&off(&answer)), "{}", off(&answer));
    control.set_clock_offset(i64::MIN);
    control.set_date_offset(i64::MAX);
    assert_eq!(send(&sandbox, "GET", METADATA, &[], "").await.unwrap().status, 200);
}

#[tokio::test]
async fn lives_are_cut_short_for_all() {
    let sandbox = start().await;
    sandbox.control().set_token_lifetime(1);
    let answer = Maker::new(&sandbox, "demo:api").post(&sandbox).await.json();
    assert_eq!(answer["expires_in"], 1);
    let claims = claims_of(answer["access_token"].as_str().unwrap());
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 2);
    assert_eq!(claims["token_type"], json!("Bearer"));
}
