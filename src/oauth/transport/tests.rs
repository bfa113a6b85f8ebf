use std::io::{Read, Write};

use super::*;
use crate::oauth::metadata::parse_url;
use crate::oauth::testing::{Endpoint, answer, http, tls};

fn headers(retry_after: &str) -> HeaderMap {
    HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(retry_after).expect("it is visible"))])
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let read = |text: &str| retry_after(&headers(text), now);
    assert_eq!(read("7"), Some(Duration::from_secs(7)));
    assert_eq!(read("0"), Some(Duration::ZERO));
    assert_eq!(read("86400"), Some(Duration::from_secs(300)), "five minutes at most");
    assert_eq!(read("99999999999999999999999"), Some(Duration::from_secs(300)));
    let later = httpdate::fmt_http_date(now + Duration::from_secs(42));
    assert_eq!(read(&later), Some(Duration::from_secs(42)));
    let earlier = httpdate::fmt_http_date(now - Duration::from_secs(42));
    assert_eq!(read(&earlier), Some(Duration::ZERO));
    for odd in ["", "-1", "soon", "1.5"] {
        assert_eq!(read(odd), None, "{odd}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_followed() {
    let other = Endpoint::start(|_, _| answer(200, "{}")).await;
    let target = other.url("/token").to_string();
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let endpoint = Endpoint::start(move |_, _| {
            let mut response = answer(status, "");
            response.headers_mut().insert("location", target.parse().expect("a header"));
            response
        })
        .await;
        let result =
            http().post_form(Service::TokenEndpoint, &endpoint.url("/token"), "a=b".into()).await.result;
        assert_eq!(result.err(), Some(TokenError::Redirected { service: Service::TokenEndpoint, status }));
    }
    assert!(other.seen().is_empty(), "the grant went no further");
}

#[tokio::test]
async fn an_answer_is_read_to_its_limit_and_no_further() {
    let endpoint = Endpoint::start(|number, _| answer(200, vec![b'x'; ANSWER_LIMIT + number])).await;
    let get = async || http().get(Service::Altinn, &endpoint.url("/"), None).await.result;
    assert_eq!(get().await.expect("just within").body.len(), ANSWER_LIMIT);
    let fault = AnswerFault::TooLong { limit: ANSWER_LIMIT };
    assert_eq!(
        get().await.err(),
        Some(TokenError::Malformed { service: Service::Altinn, status: 200, fault })
    );
}

#[tokio::test]
async fn busy_and_broken_servers_are_told_apart_from_answers() {
    let endpoint = Endpoint::start(|number, _| {
        let mut response = answer([429, 500, 503, 408][number], "<html>");
        if number != 1 && number != 3 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("9"));
        }
        response
    })
    .await;
    for (status, retry_after) in [(429, Some(9)), (500, None), (503, Some(9)), (408, None)] {
        let result = http().get(Service::Metadata, &endpoint.url("/"), None).await.result;
        let retry_after = retry_after.map(Duration::from_secs);
        assert_eq!(
            result.err(),
            Some(TokenError::Unavailable { service: Service::Metadata, status, retry_after })
        );
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_with_the_reason() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it is bound")
    };
    let url = parse_url(&format!("http://{address}/token")).expect("a URL");
    let error = http().get(Service::TokenEndpoint, &url, None).await.result.err().expect("nobody listens");
    let TokenError::Unreachable { reason, broke, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("refused"), "{reason}");
    assert!(!broke);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_worth_another_attempt() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = parse_url(&format!("http://{}/", listener.local_addr().expect("it is bound"))).expect("a URL");
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a client comes").0;
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").expect("it is written");
    });
    let error = http().get(Service::Altinn, &url, None).await.result.err().expect("it broke");
    assert!(matches!(error, TokenError::Unreachable { broke: true, .. }), "{error:?}");
    assert_eq!(error.class(), crate::oauth::Class::AtOnce);
    server.join().expect("it ended");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_in_time() {
    let endpoint = Endpoint::start_delayed(Duration::from_secs(3600), |_, _| answer(200, "")).await;
    let settings = UpstreamSettings::default();
    let http =
        TokenHttp::with_deadline(tls(), &settings, Duration::from_millis(100)).expect("valid settings");
    let result = http.get(Service::TokenEndpoint, &endpoint.url("/"), None).await.result;
    assert_eq!(result.err(), Some(TokenError::TimedOut { service: Service::TokenEndpoint }));
}

#[tokio::test]
async fn loopback_bypasses_the_proxy_and_dns() {
    let endpoint = Endpoint::start(|_, _| answer(200, "direct")).await;
    let proxy = Endpoint::start(|_, _| answer(200, "by proxy")).await;
    let settings = UpstreamSettings {
        proxy: Some(crate::config::HttpProxy {
            authority: proxy.address.to_string().parse().expect("an authority"),
            credentials: Some("user:hemmelig".into()),
        }),
        ..UpstreamSettings::default()
    };
    let http = TokenHttp::new(tls(), &settings).expect("valid settings");
    // No DNS server knows this name; RFC 6761 says what it means.
    for host in ["127.0.0.1", "localhost", "maskinporten.localhost"] {
        let url = parse_url(&format!("http://{host}:{}/", endpoint.address.port())).expect("a URL");
        let answer = http.get(Service::Metadata, &url, None).await.result.expect("it answers");
        assert_eq!(&**answer.body, b"direct", "{host}");
    }
    assert!(proxy.seen().is_empty());

    let away = parse_url("https://maskinporten.invalid/token").expect("a URL");
    let error =
        http.get(Service::Metadata, &away, None).await.result.err().expect("the proxy makes no tunnel");
    assert!(!format!("{error:?} {http:?}").contains("hemmelig"));
    let seen = proxy.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("CONNECT", "maskinporten.invalid:443"));
}
