//! Altinn's exchange, the echo API, and the life and death of tokens at both.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::*;
use crate::clock::Clock;
use crate::sandbox::{CONSUMER, CUSTOMER, Death, Kind, ORGANISATION, Sandbox, SandboxOptions};

const EXCHANGE: &str = "/authentication/api/v1/exchange/maskinporten";

async fn exchanged(sandbox: &Sandbox, maskinporten: &str) -> String {
    let answer = get(sandbox, EXCHANGE, maskinporten).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn altinn_swaps_a_token_for_its_own() {
    let sandbox = start().await;
    let control = sandbox.control();
    let maskinporten = token(&sandbox, "demo:api").await;
    let altinn = exchanged(&sandbox, &maskinporten).await;
    let claims = claims_of(&altinn);
    assert_eq!(claims["urn:altinn:orgNumber"], ORGANISATION);
    assert_eq!(claims["scope"], "demo:api");
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((1800..=1801).contains(&life), "{life}");

    let echoed = get(&sandbox, "/echo", &altinn).await.json();
    assert_eq!(echoed["authorization"]["issuer"], "altinn");
    assert_eq!(echoed["authorization"]["consumer"], ORGANISATION);
    assert_eq!(get(&sandbox, EXCHANGE, &altinn).await.status, 401, "it is no Maskinporten token");
    assert_eq!(get(&sandbox, "/clients", &altinn).await.status, 401);

    control.set_altinn_quoted(true);
    control.set_altinn_lifetime(60);
    let quoted = exchanged(&sandbox, &maskinporten).await;
    let token: String = serde_json::from_str(&quoted).unwrap();
    let claims = claims_of(&token);
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 61);
    assert_eq!(get(&sandbox, "/echo", &token).await.status, 200);
    assert_eq!(control.counts().altinn_requests, 3);
    assert_eq!(control.altinn_requests().len(), 3);
    assert_eq!(send(&sandbox, "GET", EXCHANGE, &[], "").await.unwrap().status, 401);
    assert_eq!(call(&sandbox, "POST", EXCHANGE, &maskinporten, Value::Null).await.status, 405);
}

#[tokio::test]
async fn dead_tokens_are_refused_and_counted() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = start_with(SandboxOptions { clock: clock.clone(), ..Default::default() }).await;
    let control = sandbox.control();
    let maskinporten = token(&sandbox, "demo:api idporten:dcr.read").await;
    let altinn = exchanged(&sandbox, &maskinporten).await;
    clock.advance(Duration::from_secs(119));
    assert_eq!(get(&sandbox, "/echo", &maskinporten).await.status, 200, "expires_in is honest");
    clock.advance(Duration::from_secs(2));
    for path in ["/echo", "/clients", EXCHANGE] {
        let answer = get(&sandbox, path, &maskinporten).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").contains("invalid_token"), "{path}");
    }
    assert_eq!(get(&sandbox, "/echo", &altinn).await.status, 200, "Altinn's lives longer");
    let dead = control.dead_tokens();
    assert_eq!((dead.len(), control.counts().dead_tokens), (3, 3));
    assert_eq!(dead[0].jti.as_deref(), claims_of(&maskinporten)["jti"].as_str());
    assert!(matches!(dead[0].death, Death::Expired(by) if by < Duration::from_secs(3)), "{dead:?}");
    clock.advance(Duration::from_secs(1800));
    assert_eq!(get(&sandbox, "/echo", &altinn).await.status, 401);
}

#[tokio::test]
async fn a_forgotten_token_is_dead_and_not_unknown() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = start_with(SandboxOptions { clock: clock.clone(), ..Default::default() }).await;
    let first = token(&sandbox, "demo:api").await;
    clock.advance(Duration::from_secs(300));
    let tokens = &sandbox.control().0.tokens;
    for _ in 0..1100 {
        let expires = clock.wall() + Duration::from_secs(100);
        tokens.issue(Kind::Altinn, Default::default(), expires, clock.wall());
    }
    assert_eq!(get(&sandbox, "/echo", &first).await.status, 401);
    let counts = sandbox.control().counts();
    assert_eq!((counts.dead_tokens, counts.unknown_tokens), (1, 0));
    assert_eq!(sandbox.control().dead_tokens()[0].jti, None, "it was swept out");
    // With one letter of it changed it is nobody's.
    let forged = first.replacen("eyJ", "eyK", 1);
    get(&sandbox, "/echo", &forged).await;
    assert_eq!(sandbox.control().counts().unknown_tokens, 1);
}

#[tokio::test]
async fn tokens_are_revoked_early() {
    let sandbox = start().await;
    let control = sandbox.control();
    let (one, two) = (token(&sandbox, "demo:api").await, token(&sandbox, "demo:api").await);
    control.revoke_token(claims_of(&one)["jti"].as_str().unwrap());
    assert_eq!(get(&sandbox, "/echo", &one).await.status, 401);
    assert_eq!(get(&sandbox, "/echo", &two).await.status, 200);
    control.revoke_tokens_of(Kind::Altinn);
    assert_eq!(get(&sandbox, "/echo", &two).await.status, 200);
    control.revoke_tokens();
    assert_eq!(get(&sandbox, "/echo", &two).await.status, 401);
    assert!(control.dead_tokens().iter().all(|dead| dead.death == Death::Revoked));
    let three = token(&sandbox, "demo:api").await;
    assert_eq!(get(&sandbox, "/echo", &three).await.status, 200);
}

#[tokio::test]
async fn the_echo_says_what_came_in_but_not_the_token() {
    let sandbox = start().await;
    let token = token(&sandbox, "demo:api").await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-one", "1"), ("x-two", "2"), ("x-one", "3")];
    let target = "/echo/a%2Fb//c+d?q=%C3%A6&x=a+b";
    let answer = send(&sandbox, "PATCH", target, &headers, "hei på deg").await.unwrap();
    let echoed = answer.json();
    assert_eq!(echoed["method"], "PATCH");
    assert_eq!(echoed["path"], "/echo/a%2Fb//c+d");
    assert_eq!(echoed["query"], "q=%C3%A6&x=a+b");
    assert_eq!(echoed["body"]["text"], "hei på deg");
    assert_eq!(echoed["body"]["length"], 11);
    let digest = "fa7216c2434d42519eb9c207af9e2f3d1dd366a41fa299e4364509015ef6a42d";
    assert_eq!(echoed["body"]["sha256"], digest);
    let received = echoed["headers"].as_array().unwrap();
    assert!(received.contains(&json!(["authorization", "***"])));
    let ones: Vec<_> =
        received.iter().filter(|header| header[0] == "x-one").map(|header| &header[1]).collect();
    assert_eq!(ones, ["1", "3"]);
    assert!(!String::from_utf8_lossy(&answer.body).contains(token.rsplit('.').next().unwrap()));
    let seen = &sandbox.control().api_requests()[0];
    assert_eq!((seen.target.as_str(), seen.body_length, seen.body_complete), (target, 11, true));
    assert_eq!(seen.token.as_ref().unwrap().text("scope"), Some("demo:api"));
    assert_eq!(seen.headers["authorization"], bearer);
    assert!(!format!("{seen:?}").contains(&token), "a token was printed");
}

#[tokio::test]
async fn the_echo_says_whose_token_it_was() {
    let sandbox = start().await;
    let detail = json!([{
        "type": "urn:altinn:systemuser",
        "systemuser_org": { "authority": "iso6523-actorid-upis", "ID": format!("0192:{CUSTOMER}") },
    }]);
    let maker = Maker::new(&sandbox, "demo:api").claim("resource", json!(["https://a.no"]));
    let plain = maker.clone().claim("pid", "05848998356").claim("authorization_details", detail);
    let identity = get(&sandbox, "/echo", &plain.token(&sandbox).await).await.json()["authorization"].take();
    assert_eq!(identity["issuer"], "maskinporten");
    assert_eq!(identity["pid"], "05848998356");
    assert_eq!(identity["aud"], "https://a.no");
    assert_eq!(identity["systemuser_org"], CUSTOMER);
    assert_eq!(identity["consumer"], ORGANISATION);
    assert_eq!(identity["supplier"], Value::Null);
    let for_consumer = maker.claim("jti", "2").claim("consumer_org", CONSUMER);
    let identity =
        get(&sandbox, "/echo", &for_consumer.token(&sandbox).await).await.json()["authorization"].take();
    assert_eq!((&identity["consumer"], &identity["supplier"]), (&json!(CONSUMER), &json!(ORGANISATION)));
    assert_eq!(send(&sandbox, "GET", "/echo", &[], "").await.unwrap().status, 401);
}

#[tokio::test]
async fn the_echo_takes_large_bodies_and_sends_them() {
    let sandbox = start().await;
    let token = token(&sandbox, "demo:api").await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let echoed = send(&sandbox, "POST", "/echo", &headers, vec![0; 3_000_000]).await.unwrap().json();
    assert_eq!(echoed["body"]["length"], 3_000_000);
    assert_eq!(echoed["body"]["text"], Value::Null);
    let length = 65_536 * 3 + 17;
    let answer = get(&sandbox, &format!("/echo/bytes/{length}"), &token).await;
    assert_eq!(answer.header("content-length"), length.to_string());
    assert_eq!(answer.body.len(), length);
    assert!(
        answer.body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251),
        "not one pattern"
    );
    assert_eq!(get(&sandbox, "/echo/bytes/0", &token).await.body.len(), 0);
    assert_eq!(sandbox.control().counts().abandoned, 0);
}

#[tokio::test]
async fn the_echo_answers_any_status_late_and_in_pieces() {
    let sandbox = start().await;
    let token = token(&sandbox, "demo:api").await;
    for status in [200, 204, 304, 404, 503] {
        assert_eq!(get(&sandbox, &format!("/echo/status/{status}"), &token).await.status, status);
    }
    for status in ["100", "99", "1000"] {
        assert_eq!(get(&sandbox, &format!("/echo/status/{status}"), &token).await.status, 400, "{status}");
    }
    let began = std::time::Instant::now();
    assert_eq!(get(&sandbox, "/echo/delay/30", &token).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(30));
    let events = get(&sandbox, "/echo/sse?count=2&interval=1", &token).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.body, "data: {\"n\":0}\n\ndata: {\"n\":1}\n\n");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let sandbox = start().await;
    let control = sandbox.control();
    let token = token(&sandbox, "demo:api").await;
    for path in ["/echo/delay/600000", "/echo/bytes/100000000000", "/echo/sse?count=1000000&interval=1"] {
        let before = control.counts();
        let request = {
            let (sandbox_addr, token) = (sandbox.addr(), token.clone());
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut stream = tokio::net::TcpStream::connect(sandbox_addr).await.unwrap();
                let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let mut sink = vec![0; 65_536];
                while stream.read(&mut sink).await.unwrap() > 0 {}
            })
        };
        let arrived = control.until(|counts| counts.api_requests > before.api_requests);
        tokio::time::timeout(PATIENCE, arrived).await.expect(path);
        request.abort();
        let left = control.until(|counts| counts.abandoned > before.abandoned);
        tokio::time::timeout(PATIENCE, left).await.expect(path);
    }
}

#[tokio::test]
async fn paths_of_nothing_are_not_found() {
    let sandbox = start().await;
    let index = send(&sandbox, "GET", "/", &[], "").await.unwrap().json();
    assert_eq!(index["issuer"], sandbox.issuer());
    for path in ["/echoes", "/nothing", "/token/x"] {
        assert_eq!(send(&sandbox, "GET", path, &[], "").await.unwrap().status, 404, "{path}");
    }
}
