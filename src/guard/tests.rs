use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::http::problem::Problem;

mod pages;
mod targets;

const LISTEN: &str = "127.0.0.1:8080";
const ROUTED: [&str; 4] = ["api.example.no", "api.example.no:443", "127.0.0.1:9000", "localhost:9000"];

fn settings(service: Service) -> Settings {
    Settings {
        service,
        listen: Listen::Tcp(LISTEN.parse().unwrap()),
        tls: false,
        allowed_hosts: vec!["proxy.example.no".parse().unwrap()],
        allowed_origins: vec!["https://app.example.no".to_owned()],
        password: None,
    }
}

fn proxy() -> Settings {
    settings(Service::Proxy { browsers: false })
}

fn admin() -> Settings {
    settings(Service::Admin)
}

/// A head from lines as on the wire: `GET /x HTTP/1.1`, then fields.
fn head(text: &str) -> RequestHead {
    let mut lines = text.lines();
    let mut words = lines.next().unwrap().split(' ');
    let method: Method = words.next().unwrap().parse().unwrap();
    let uri: Uri = words.next().unwrap().parse().unwrap();
    let version = match words.next().unwrap() {
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/1.1" => Version::HTTP_11,
        "HTTP/2" => Version::HTTP_2,
        other => panic!("{other}"),
    };
    let mut request = Request::builder().method(method).uri(uri).version(version);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request = request.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    request.body(()).unwrap().into_parts().0.into()
}

fn is_routed(authority: &Authority) -> bool {
    ROUTED.contains(&authority.to_string().as_str())
}

fn admit(settings: Settings, text: &str) -> Result<Admission, Refusal> {
    Policy::new(settings).admit(&head(text), None, is_routed)
}

/// In short: the form of what is admitted, or the status of the refusal.
fn verdict(settings: Settings, text: &str) -> String {
    short(admit(settings, text))
}

fn short(result: Result<Admission, Refusal>) -> String {
    match result {
        Ok(Admission::Preflight(_)) => "preflight".to_owned(),
        Ok(Admission::Request(admitted)) => {
            let form = match admitted.form() {
                Form::Origin => "origin",
                Form::Asterisk => "asterisk",
                Form::Absolute { routed: true } => "routed",
                Form::Absolute { routed: false } => "other",
                Form::Connect { routed: true } => "connect routed",
                Form::Connect { routed: false } => "connect other",
                Form::Tunnelled => "tunnelled",
            };
            if admitted.cors().is_some() { format!("{form} cors") } else { form.to_owned() }
        }
        Err(refusal) => Problem::from(refusal).into_response("id").status().as_str().to_owned(),
    }
}

fn table(settings: impl Fn() -> Settings, rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(verdict(settings(), text), *expected, "{text}");
    }
}

#[test]
fn the_proxys_password() {
    let settings = || Settings { password: Some("p:w\u{e6}".into()), ..proxy() };
    // `anyone:p:wæ`, `:p:wæ`, `p:wæ` (the user `p`), `anyone:p:w`, without padding, and more.
    for (field, expected) in [
        ("Proxy-Authorization: Basic YW55b25lOnA6d8Om", "origin"),
        ("Proxy-Authorization: basic OnA6d8Om", "origin"),
        ("Proxy-Authorization: Basic   YTpwOnfDpg==", "origin"),
        ("Proxy-Authorization: Basic YTpwOnfDpg", "origin"),
        ("Proxy-Authorization: Bearer p:w\u{e6}", "origin"),
        ("proxy-authorization: bearer p:w\u{e6}", "origin"),
        ("Proxy-Authorization: Basic cDp3w6Y=", "407"),
        ("Proxy-Authorization: Basic YW55b25lOnA6dw==", "407"),
        ("Proxy-Authorization: Basic cA==", "407"),
        ("Proxy-Authorization: Basic !!!", "407"),
        ("Proxy-Authorization: Basic", "407"),
        ("Proxy-Authorization: Bearer p:w", "407"),
        ("Proxy-Authorization: Bearer", "407"),
        ("Proxy-Authorization: Digest p:w\u{e6}", "407"),
        ("Proxy-Authorization: p:w\u{e6}", "407"),
        ("Proxy-Authorization: Bearer p:w\u{e6}\nProxy-Authorization: Bearer p:w\u{e6}", "407"),
        ("Authorization: Bearer p:w\u{e6}", "407"),
        ("X: y", "407"),
    ] {
        let text = format!("GET /x HTTP/1.1\nHost: localhost\n{field}");
        assert_eq!(verdict(settings(), &text), expected, "{field}");
    }
    table(
        settings,
        &[
            ("GET http://api.example.no/ HTTP/1.1\nHost: api.example.no", "407"),
            ("GET http://other.no/ HTTP/1.1\nHost: other.no", "407"),
            ("CONNECT other.no:443 HTTP/1.1\nHost: other.no:443", "407"),
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no:443", "407"),
            ("OPTIONS * HTTP/1.1\nHost: localhost", "407"),
            ("GET /healthz HTTP/1.1\nHost: localhost", "407"),
        ],
    );
}

#[test]
fn the_admin_listener_beyond_loopback() {
    let outside = || Settings {
        listen: Listen::Tcp("0.0.0.0:8081".parse().unwrap()),
        password: Some("pw".into()),
        ..admin()
    };
    table(
        outside,
        &[
            // Probes, whatever their Host.
            ("GET /healthz HTTP/1.1\nHost: 10.1.2.3:8081", "origin"),
            ("GET /readyz HTTP/1.1\nHost: some.service", "origin"),
            ("HEAD /metrics HTTP/1.1\nHost: some.service", "origin"),
            ("GET http://some.service/metrics HTTP/2", "origin"),
            ("GET /metrics HTTP/1.1\nHost: some.service\nOrigin: http://evil.com", "403"),
            ("POST /healthz HTTP/1.1\nHost: some.service", "403"),
            ("GET /healthz/ HTTP/1.1\nHost: some.service", "403"),
            ("GET //metrics HTTP/1.1\nHost: some.service", "403"),
            ("GET /metrics HTTP/1.1\nHost: a@b", "400"),
            ("TRACE /metrics HTTP/1.1\nHost: some.service", "405"),
            // All else asks for the password.
            ("GET / HTTP/1.1\nHost: localhost", "401"),
            ("GET /api/status HTTP/1.1\nHost: localhost", "401"),
            ("GET / HTTP/1.1\nHost: localhost\nAuthorization: Basic eDpwdw==", "origin"),
            ("GET / HTTP/1.1\nHost: localhost\nAuthorization: Basic eDpwVw==", "401"),
            ("GET / HTTP/1.1\nHost: localhost\nAuthorization: Bearer pw", "401"),
            ("GET / HTTP/1.1\nHost: localhost\nProxy-Authorization: Basic eDpwdw==", "401"),
            ("GET / HTTP/1.1\nHost: some.service\nAuthorization: Basic eDpwdw==", "403"),
        ],
    );
    // Client certificates guard the proxy's listener alone, so they are no way in here.
    let no_password = || Settings { password: None, ..outside() };
    table(
        no_password,
        &[
            ("GET /healthz HTTP/1.1\nHost: some.service", "origin"),
            ("GET / HTTP/1.1\nHost: localhost", "401"),
            ("GET / HTTP/1.1\nHost: localhost\nAuthorization: Basic eDo=", "401"),
            ("POST /api/tokens/refresh HTTP/1.1\nHost: localhost", "401"),
        ],
    );
    let loopback = || Settings { password: Some("pw".into()), ..admin() };
    table(loopback, &[("GET / HTTP/1.1\nHost: localhost", "origin")]);
}

#[test]
fn inside_a_tunnel() {
    let policy = Policy::new(Settings { password: Some("pw".into()), ..proxy() });
    let connect =
        "CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no:443\nProxy-Authorization: Bearer pw";
    let Ok(Admission::Request(connect)) = policy.admit(&head(connect), None, is_routed) else {
        panic!("not admitted")
    };
    let tunnel = connect.tunnel().unwrap();
    for (text, expected) in [
        ("GET /x HTTP/1.1\nHost: api.example.no", "tunnelled"),
        ("GET /x HTTP/1.1\nHost: API.example.no:443", "tunnelled"),
        ("GET /x HTTP/1.0", "tunnelled"),
        ("GET https://api.example.no/x HTTP/2", "tunnelled"),
        ("GET https://api.example.no/x HTTP/1.1\nHost: api.example.no", "tunnelled"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nOrigin: https://api.example.no", "tunnelled"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nOrigin: https://app.example.no", "tunnelled cors"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nUser-Agent: Mozilla/5.0", "tunnelled"),
        ("GET /x HTTP/1.1\nHost: evil.com", "421"),
        ("GET /x HTTP/1.1\nHost: localhost", "421"),
        ("GET /x HTTP/1.1\nHost: api.example.no:8443", "421"),
        ("GET https://evil.com/x HTTP/2", "421"),
        ("GET https://evil.com/x HTTP/1.1\nHost: evil.com", "421"),
        ("GET https://evil.com/x HTTP/1.1\nHost: api.example.no", "400"),
        ("GET /x HTTP/1.1", "400"),
        ("GET /x HTTP/1.1\nHost: a@api.example.no", "400"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nOrigin: http://api.example.no", "403"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nOrigin: http://evil.com", "403"),
        ("GET /x HTTP/1.1\nHost: api.example.no\nSec-Fetch-Site: cross-site", "403"),
        ("CONNECT evil.com:443 HTTP/1.1\nHost: evil.com:443", "405"),
        ("TRACE /x HTTP/1.1\nHost: api.example.no", "405"),
    ] {
        assert_eq!(short(policy.admit_inside(&tunnel, &head(text))), expected, "{text}");
    }
    let result = policy.admit_inside(&tunnel, &head("GET /x HTTP/1.1\nHost: api.example.no"));
    let Ok(Admission::Request(inside)) = result else { panic!("not admitted") };
    assert_eq!(inside.base(), "https://api.example.no");
    assert!(inside.tunnel().is_none());
}

#[test]
fn only_an_admitted_connect_to_a_routed_host_opens_a_tunnel() {
    for text in [
        "CONNECT other.no:443 HTTP/1.1\nHost: other.no:443",
        "GET http://api.example.no/ HTTP/1.1\nHost: api.example.no",
        "GET / HTTP/1.1\nHost: localhost",
    ] {
        let Ok(Admission::Request(admitted)) = admit(proxy(), text) else { panic!("not admitted: {text}") };
        assert!(admitted.tunnel().is_none(), "{text}");
    }
}

#[test]
fn refusals_say_what_to_set_and_never_the_password() {
    for (text, setting) in [
        ("GET / HTTP/1.1\nHost: evil.com", "allowed_hosts"),
        ("GET / HTTP/1.1\nHost: localhost\nOrigin: http://evil.com", "allowed_origins"),
        ("GET / HTTP/1.1\nHost: localhost\nSec-Fetch-Site: cross-site", "allowed_origins"),
        (
            "GET http://api.example.no/ HTTP/1.1\nHost: api.example.no\nUser-Agent: Mozilla/5.0",
            "browsers = true",
        ),
        ("GET / HTTP/1.1\nHost: localhost\nProxy-Authorization: Bearer hemmelig2", "Proxy-Authorization"),
    ] {
        let settings = Settings { password: Some("hemmelig".into()), ..proxy() };
        let debug = format!("{settings:?} {:?}", Policy::new(settings.clone()));
        let refusal = admit(settings, text).unwrap_err();
        let problem = Problem::from(refusal.clone());
        assert!(problem.detail().contains(setting), "{refusal}");
        assert!(!format!("{debug}{problem:?}{refusal:?}").contains("hemmelig"));
    }
}

#[test]
fn foreign_text_in_a_message_is_bounded() {
    let text = format!("GET / HTTP/1.1\nHost: localhost\nOrigin: http://{}", "e".repeat(5000));
    assert!(admit(proxy(), &text).unwrap_err().to_string().len() < 500);
    let text = format!("GET / HTTP/1.1\nHost: {}", "1".repeat(250));
    assert!(admit(proxy(), &text).unwrap_err().to_string().len() < 500);
}
