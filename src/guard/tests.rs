use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::http::problem::Problem;

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
fn hosts_of_origin_form() {
    for (host, expected) in [
        // Loopback names, with any port.
        ("localhost", "origin"),
        ("localhost:8080", "origin"),
        ("localhost:1", "origin"),
        ("LOCALHOST:8080", "origin"),
        ("foo.localhost", "origin"),
        ("a.b.LocalHost:65535", "origin"),
        ("127.0.0.1", "origin"),
        ("127.0.0.1:8080", "origin"),
        ("127.255.255.254:3000", "origin"),
        ("[::1]", "origin"),
        ("[::1]:8080", "origin"),
        ("[0:0:0:0:0:0:0:1]:8080", "origin"),
        // Allowed by name, with any port.
        ("proxy.example.no", "origin"),
        ("PROXY.example.no:9999", "origin"),
        // Neighbours of what is allowed.
        ("evil.com", "403"),
        ("evil.com:8080", "403"),
        ("localhost.evil.com", "403"),
        ("localhost.evil.com:8080", "403"),
        ("127.0.0.1.evil.com", "403"),
        ("127.0.0.1.nip.io:8080", "403"),
        ("127a0b0c1", "403"),
        ("127-0-0-1", "403"),
        ("localhost.", "403"),
        ("localhost.:8080", "403"),
        ("foo.localhost.", "403"),
        ("127.0.0.1.", "403"),
        ("localhostx", "403"),
        ("xlocalhost", "403"),
        ("localhost-", "403"),
        ("localhost.localdomain", "403"),
        ("ip6-localhost", "403"),
        ("loopback", "403"),
        ("0.0.0.0", "403"),
        ("0", "403"),
        ("127.1", "403"),
        ("127.1:8080", "403"),
        ("127.0.1", "403"),
        ("127.0.0.01", "403"),
        ("0177.0.0.1", "403"),
        ("0x7f.1", "403"),
        ("0x7f.0.0.1", "403"),
        ("0x7f000001", "403"),
        ("2130706433", "403"),
        ("127.0.0.256", "403"),
        ("128.0.0.1", "403"),
        ("10.0.0.1", "403"),
        ("169.254.169.254", "403"),
        ("[::ffff:127.0.0.1]", "403"),
        ("[::ffff:7f00:1]:8080", "403"),
        ("[::127.0.0.1]", "403"),
        ("[::]", "403"),
        ("[::2]", "403"),
        ("[fe80::1]", "403"),
        ("proxy.example.no.", "403"),
        ("x.proxy.example.no", "403"),
        ("proxy.example.no.evil.com", "403"),
        ("example.no", "403"),
        ("api.example.no", "403"),
        ("xn--lcalhost-54a", "403"),
        // What is no authority at all.
        ("", "400"),
        (":8080", "400"),
        ("localhost:", "400"),
        ("localhost:8080@evil", "400"),
        ("localhost@evil.com", "400"),
        ("evil@localhost", "400"),
        ("evil.com:80@localhost:8080", "400"),
        ("@localhost", "400"),
        ("localhost:8080:8080", "400"),
        ("localhost:99999", "400"),
        ("localhost:0", "400"),
        ("localhost:+8080", "400"),
        ("localhost:80 80", "400"),
        ("localhost, evil.com", "400"),
        ("localhost evil.com", "400"),
        ("localhost\tevil.com", "400"),
        ("localhost/evil.com", "400"),
        ("localhost#@evil.com", "400"),
        ("localhost?evil.com", "400"),
        ("localhost\\evil.com", "400"),
        ("http://localhost", "400"),
        ("%6cocalhost", "400"),
        ("localhost%00.evil.com", "400"),
        ("localhost\u{ff0e}evil.com", "400"),
        ("l\u{f6}calhost", "400"),
        ("*", "400"),
        (".localhost", "400"),
        ("a..localhost", "400"),
        ("::1", "400"),
        ("[::1", "400"),
        ("::1]", "400"),
        ("[::1]evil.com", "400"),
        ("[::1].evil.com", "400"),
        ("[::1]:8080@evil.com", "400"),
        ("[::1]]", "400"),
        ("[[::1]]", "400"),
        ("[localhost]", "400"),
        ("[127.0.0.1]", "400"),
        ("[::1%lo]", "400"),
        ("[::1%25lo]:8080", "400"),
        ("[]", "400"),
    ] {
        for settings in [proxy, admin] {
            let text = format!("GET /x HTTP/1.1\nHost: {host}");
            assert_eq!(verdict(settings(), &text), expected, "{host:?}");
        }
    }
}

#[test]
fn several_hosts_none_and_http_1_0() {
    for settings in [proxy, admin] {
        table(
            settings,
            &[
                ("GET /x HTTP/1.1", "400"),
                ("GET /x HTTP/1.1\nHost: localhost\nHost: localhost", "400"),
                ("GET /x HTTP/1.1\nHost: localhost\nhost: evil.com", "400"),
                ("GET /x HTTP/1.0", "origin"),
                ("GET /x HTTP/1.0\nHost: localhost", "origin"),
                ("GET /x HTTP/1.0\nHost: evil.com", "403"),
                ("GET /x HTTP/1.0\nHost: ", "400"),
                ("GET /x HTTP/1.0\nHost: localhost\nHost: localhost", "400"),
                ("GET /x HTTP/2", "400"),
                ("GET localhost HTTP/1.1\nHost: localhost", "400"),
                ("GET * HTTP/1.1\nHost: localhost", "400"),
                ("OPTIONS * HTTP/1.1\nHost: localhost", "asterisk"),
                ("OPTIONS * HTTP/1.1\nHost: evil.com", "403"),
            ],
        );
    }
    let Ok(Admission::Request(admitted)) = admit(proxy(), "GET /x HTTP/1.0") else { panic!("not admitted") };
    assert_eq!(admitted.authority().to_string(), LISTEN);
    assert_eq!(admitted.base(), "http://127.0.0.1:8080");
}

#[test]
fn control_characters_in_host() {
    // A header value holds no other control character than a tab; see the table above for it.
    let mut parts = head("GET /x HTTP/1.1");
    parts.fields.insert(HOST, http::HeaderValue::from_bytes(b"localhost\xa0").unwrap());
    let result = Policy::new(proxy()).admit(&parts, None, is_routed);
    assert_eq!(short(result), "400");
}

#[test]
fn trace_is_served_to_nobody() {
    for settings in [proxy, admin] {
        table(
            settings,
            &[
                ("TRACE /x HTTP/1.1\nHost: localhost", "405"),
                ("TRACE /x HTTP/1.1\nHost: evil.com", "405"),
                ("TRACE http://api.example.no/ HTTP/1.1\nHost: api.example.no", "405"),
                ("TRACE http://other.no/ HTTP/1.1\nHost: other.no", "405"),
                ("TRACE /x HTTP/1.0", "405"),
            ],
        );
    }
}

#[test]
fn absolute_form_on_the_proxy() {
    table(
        proxy,
        &[
            ("GET http://api.example.no/x HTTP/1.1\nHost: api.example.no", "routed"),
            ("GET http://API.example.no/x HTTP/1.1\nHost: api.EXAMPLE.no", "routed"),
            ("GET http://api.example.no/x HTTP/1.1\nHost: api.example.no:80", "routed"),
            ("GET http://api.example.no:443/x HTTP/1.1\nHost: api.example.no:443", "routed"),
            ("GET https://api.example.no/x HTTP/1.1\nHost: api.example.no", "routed"),
            ("GET http://api.example.no/x HTTP/1.0", "routed"),
            ("GET http://127.0.0.1:9000/x HTTP/1.1\nHost: 127.0.0.1:9000", "routed"),
            ("GET http://other.no/x HTTP/1.1\nHost: other.no", "other"),
            ("GET http://api.example.no:8443/ HTTP/1.1\nHost: api.example.no:8443", "other"),
            // The proxy's own address, and another service on the same host.
            ("GET http://127.0.0.1:8080/x HTTP/1.1\nHost: 127.0.0.1:8080", "origin"),
            ("GET http://localhost:8080/x HTTP/1.1\nHost: localhost:8080", "origin"),
            ("GET http://proxy.example.no:8080/x HTTP/1.1\nHost: proxy.example.no:8080", "origin"),
            ("GET http://localhost:3000/x HTTP/1.1\nHost: localhost:3000", "other"),
            ("GET http://localhost/x HTTP/1.1\nHost: localhost", "other"),
            ("GET http://evil.com:8080/x HTTP/1.1\nHost: evil.com:8080", "other"),
            // Two answers to one question.
            ("GET http://api.example.no/x HTTP/1.1\nHost: evil.com", "400"),
            ("GET http://evil.com/x HTTP/1.1\nHost: api.example.no", "400"),
            ("GET http://other.no/x HTTP/1.1\nHost: localhost", "400"),
            ("GET http://localhost:8080/x HTTP/1.1\nHost: localhost", "400"),
            ("GET http://api.example.no/x HTTP/1.1\nHost: api.example.no:443", "400"),
            ("GET http://api.example.no/x HTTP/1.1\nHost: api.example.no.", "400"),
            ("GET http://api.example.no/x HTTP/1.1\nHost: ", "400"),
            ("GET http://api.example.no/x HTTP/1.1", "400"),
            ("GET http://api.example.no/ HTTP/1.1\nHost: api.example.no\nHost: api.example.no", "400"),
            ("GET http://u@api.example.no/x HTTP/1.1\nHost: api.example.no", "400"),
            ("GET http://u:p@api.example.no/x HTTP/1.1\nHost: api.example.no", "400"),
            ("GET http://127.1:8080/x HTTP/1.1\nHost: 127.1:8080", "400"),
            ("GET ftp://other.no/x HTTP/1.1\nHost: other.no", "400"),
        ],
    );
}

#[test]
fn connect_on_the_proxy() {
    table(
        proxy,
        &[
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no:443", "connect routed"),
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no", "connect routed"),
            ("CONNECT API.example.no:443 HTTP/1.0", "connect routed"),
            ("CONNECT api.example.no:443 HTTP/2", "connect routed"),
            ("CONNECT other.no:80 HTTP/1.1\nHost: other.no", "connect other"),
            ("CONNECT api.example.no:8443 HTTP/1.1\nHost: api.example.no:8443", "connect other"),
            ("CONNECT api.example.no:8443 HTTP/1.1\nHost: api.example.no", "400"),
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: evil.com:443", "400"),
            ("CONNECT evil.com:443 HTTP/1.1\nHost: api.example.no:443", "400"),
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no:80", "400"),
            ("CONNECT api.example.no:443 HTTP/1.1", "400"),
            ("CONNECT api.example.no HTTP/1.1\nHost: api.example.no", "400"),
            ("CONNECT u@api.example.no:443 HTTP/1.1\nHost: api.example.no:443", "400"),
            ("CONNECT http://api.example.no:443/ HTTP/1.1\nHost: api.example.no:443", "400"),
            ("CONNECT /x HTTP/1.1\nHost: api.example.no:443", "400"),
            ("CONNECT 127.1:443 HTTP/1.1\nHost: 127.1:443", "400"),
        ],
    );
}

#[test]
fn connect_targets() {
    assert_eq!(connect_target("[::1]:443").unwrap().to_string(), "[::1]:443");
    assert_eq!(connect_target("a.no"), Err(TargetError::Connect));
    assert_eq!(connect_target("a.no:0"), Err(TargetError::Authority(crate::authority::AuthorityError::Port)));
    assert!(connect_target("a@b:443").is_err());
    assert!(connect_target("").is_err());
}

#[test]
fn the_admin_listener_forwards_nothing() {
    table(
        admin,
        &[
            ("GET http://api.example.no/ HTTP/1.1\nHost: api.example.no", "403"),
            ("GET http://other.no/ HTTP/1.1\nHost: other.no", "403"),
            ("GET http://localhost:8081/ HTTP/1.1\nHost: localhost:8081", "origin"),
            ("CONNECT api.example.no:443 HTTP/1.1\nHost: api.example.no:443", "405"),
            ("CONNECT localhost:443 HTTP/1.1\nHost: localhost:443", "405"),
            ("GET https://api.example.no/ HTTP/2", "403"),
            ("GET /healthz HTTP/1.1\nHost: evil.com", "403"),
        ],
    );
}

#[test]
fn http_2_has_one_form_for_both() {
    table(
        proxy,
        &[
            ("GET http://localhost:8080/x HTTP/2", "origin"),
            ("GET http://localhost:8080/x HTTP/2\nHost: localhost:8080", "origin"),
            ("GET http://localhost:80/x HTTP/2\nHost: localhost", "origin"),
            ("GET http://localhost:8080/x HTTP/2\nHost: evil.com", "400"),
            ("GET http://evil.com/x HTTP/2\nHost: localhost", "400"),
            ("GET http://evil.com/x HTTP/2", "403"),
            ("GET http://127.1/x HTTP/2", "403"),
            ("GET http://u@localhost/x HTTP/2", "400"),
            ("GET http://api.example.no/x HTTP/2", "routed"),
            ("OPTIONS http://localhost:8080/x HTTP/2", "origin"),
            // A script's agent, for the proxy itself.
            ("GET http://localhost:8080/x HTTP/2\nUser-Agent: Mozilla/5.0", "origin"),
            ("GET http://api.example.no/x HTTP/2\nUser-Agent: Mozilla/5.0", "403"),
        ],
    );
}

#[test]
fn origins_and_fetch_metadata_in_origin_form() {
    for (fields, expected) in [
        ("", "origin"),
        ("\nOrigin: http://localhost:8080", "origin"),
        ("\nOrigin: http://LOCALHOST:8080", "origin"),
        ("\nOrigin: http://localhost:8080\nSec-Fetch-Site: same-origin", "origin"),
        ("\nSec-Fetch-Site: none", "origin"),
        ("\nSec-Fetch-Site: same-origin", "origin"),
        ("\nOrigin: https://app.example.no", "origin cors"),
        ("\nOrigin: https://app.example.no\nSec-Fetch-Site: cross-site", "origin cors"),
        // Foreign, or all but the same.
        ("\nOrigin: http://evil.com", "403"),
        ("\nOrigin: http://evil.com\nSec-Fetch-Site: same-origin", "403"),
        ("\nOrigin: null", "403"),
        ("\nOrigin: ", "403"),
        ("\nOrigin: https://localhost:8080", "403"),
        ("\nOrigin: http://localhost", "403"),
        ("\nOrigin: http://localhost:3000", "403"),
        ("\nOrigin: http://127.0.0.1:8080", "403"),
        ("\nOrigin: http://localhost.:8080", "403"),
        ("\nOrigin: http://localhost:8080/", "403"),
        ("\nOrigin: http://localhost:8080.evil.com", "403"),
        ("\nOrigin: http://x@localhost:8080", "403"),
        ("\nOrigin: localhost:8080", "403"),
        ("\nOrigin: http://localhost:8080 http://evil.com", "403"),
        ("\nOrigin: http://localhost:8080, http://evil.com", "403"),
        ("\nOrigin: http://localhost:8080\nOrigin: http://localhost:8080", "403"),
        ("\nOrigin: https://app.example.no\nOrigin: https://app.example.no", "403"),
        ("\nOrigin: http://app.example.no", "403"),
        ("\nOrigin: https://app.example.no:443", "403"),
        ("\nOrigin: https://app.example.no.evil.com", "403"),
        ("\nOrigin: https://x.app.example.no", "403"),
        ("\nOrigin: http://localhost:8080\nSec-Fetch-Site: same-site", "403"),
        ("\nSec-Fetch-Site: cross-site", "403"),
        ("\nSec-Fetch-Site: same-site", "403"),
        ("\nSec-Fetch-Site: ", "403"),
        ("\nSec-Fetch-Site: None", "403"),
        ("\nSec-Fetch-Site: none\nSec-Fetch-Site: none", "403"),
        ("\nSec-Fetch-Site: none\nSec-Fetch-Site: cross-site", "403"),
    ] {
        for settings in [proxy, admin] {
            for method in ["GET", "POST", "OPTIONS", "HEAD"] {
                let text = format!("{method} /x HTTP/1.1\nHost: localhost:8080{fields}");
                assert_eq!(verdict(settings(), &text), expected, "{text}");
            }
        }
    }
}

#[test]
fn the_own_origin_has_the_listeners_scheme() {
    let tls = || Settings { tls: true, ..proxy() };
    table(
        tls,
        &[
            ("GET /x HTTP/1.1\nHost: localhost\nOrigin: https://localhost", "origin"),
            ("GET /x HTTP/1.1\nHost: localhost:443\nOrigin: https://localhost", "origin"),
            ("GET /x HTTP/1.1\nHost: localhost\nOrigin: http://localhost", "403"),
            ("GET https://localhost:8080/x HTTP/2\nOrigin: https://localhost:8080", "origin"),
        ],
    );
    let Ok(Admission::Request(admitted)) = admit(tls(), "GET /x HTTP/1.1\nHost: Foo.localhost:1") else {
        panic!("not admitted")
    };
    assert_eq!(admitted.base(), "https://foo.localhost:1");
}

#[test]
fn a_rebound_name_is_refused_though_its_origin_is_its_own() {
    let text =
        "GET /x HTTP/1.1\nHost: evil.com:8080\nOrigin: http://evil.com:8080\nSec-Fetch-Site: same-origin";
    for settings in [proxy, admin] {
        assert_eq!(verdict(settings(), text), "403");
    }
}

#[test]
fn web_pages_and_routed_hosts_in_absolute_form() {
    let request = |target: &str, host: &str, fields: &str| {
        verdict(proxy(), &format!("GET {target} HTTP/1.1\nHost: {host}{fields}"))
    };
    for (fields, routed, other) in [
        ("", "routed", "other"),
        ("\nOrigin: http://evil.com", "403", "other"),
        ("\nOrigin: null", "403", "other"),
        ("\nSec-Fetch-Site: cross-site", "403", "other"),
        ("\nSec-Fetch-Site: none", "routed", "other"),
        ("\nSec-Fetch-Site: none\nUser-Agent: Mozilla/5.0", "routed", "other"),
        ("\nOrigin: https://app.example.no", "routed cors", "other"),
        ("\nOrigin: https://app.example.no\nUser-Agent: Mozilla/5.0", "routed cors", "other"),
        ("\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "403", "other"),
        ("\nUser-Agent: Mozilla/5.0\nSec-Fetch-Mode: cors", "403", "other"),
        ("\nUser-Agent: curl/8\nUser-Agent: Mozilla/5.0", "403", "other"),
        ("\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; en-US) PowerShell/7.4.1", "routed", "other"),
        ("\nUser-Agent: Mozilla/5.0 (Windows NT; en-US) WindowsPowerShell/5.1.1", "routed", "other"),
        ("\nUser-Agent: PostmanRuntime/7.43.0", "routed", "other"),
        ("\nUser-Agent: curl/8.5.0", "routed", "other"),
    ] {
        assert_eq!(request("http://api.example.no/x", "api.example.no", fields), routed, "{fields}");
        assert_eq!(request("http://other.no/x", "other.no", fields), other, "{fields}");
    }
    let own = "\nOrigin: http://api.example.no";
    assert_eq!(request("http://api.example.no/x", "api.example.no", own), "routed");
    assert_eq!(request("https://api.example.no/x", "api.example.no", own), "403");
    let agent = "\nUser-Agent: Mozilla/5.0";
    assert_eq!(request("http://localhost:8080/x", "localhost:8080", agent), "403");
    assert_eq!(request("/x", "localhost:8080", agent), "origin", "Sec-Fetch-Site is sent to loopback");
}

#[test]
fn browsers_may_be_let_in() {
    let text = "GET http://api.example.no/x HTTP/1.1\nHost: api.example.no\nUser-Agent: Mozilla/5.0";
    assert_eq!(verdict(settings(Service::Proxy { browsers: true }), text), "routed");
    let foreign = format!("{text}\nOrigin: http://evil.com");
    assert_eq!(verdict(settings(Service::Proxy { browsers: true }), &foreign), "403");
}

#[test]
fn preflights() {
    const ASK: &str = "\nAccess-Control-Request-Method: PUT";
    for (start, origin, expected) in [
        ("OPTIONS /x HTTP/1.1\nHost: localhost", "https://app.example.no", "preflight"),
        ("OPTIONS /x HTTP/1.1\nHost: localhost", "http://evil.com", "403"),
        ("OPTIONS /x HTTP/1.1\nHost: localhost", "null", "403"),
        ("OPTIONS /x HTTP/1.1\nHost: evil.com", "https://app.example.no", "403"),
        ("OPTIONS /x HTTP/1.1\nHost: localhost", "http://localhost", "origin"),
        ("GET /x HTTP/1.1\nHost: localhost", "https://app.example.no", "origin cors"),
        (
            "OPTIONS http://api.example.no/ HTTP/1.1\nHost: api.example.no",
            "https://app.example.no",
            "preflight",
        ),
        ("OPTIONS http://other.no/ HTTP/1.1\nHost: other.no", "https://app.example.no", "other"),
    ] {
        let text = format!("{start}\nOrigin: {origin}{ASK}");
        let result = admit(proxy(), &text);
        if let Err(refusal) = &result {
            let response = Problem::from(refusal.clone()).into_response("id");
            let allows = response.headers().keys().any(|name| name.as_str().starts_with("access-control"));
            assert!(!allows, "{text}");
        }
        assert_eq!(short(result), expected, "{text}");
    }
    let plain = "OPTIONS /x HTTP/1.1\nHost: localhost\nOrigin: https://app.example.no";
    assert_eq!(verdict(proxy(), plain), "origin cors", "not a preflight without the method");
}

#[test]
fn a_preflight_is_answered_without_credentials_and_before_the_password() {
    let settings = Settings { password: Some("pw".into()), ..proxy() };
    let text = "OPTIONS /x HTTP/1.1\nHost: localhost\nOrigin: https://app.example.no\n\
                Access-Control-Request-Method: PUT\nAccess-Control-Request-Headers: content-type,x-a";
    let Ok(Admission::Preflight(preflight)) = admit(settings, text) else { panic!("no preflight") };
    let response = preflight.into_response();
    assert_eq!(response.status(), 204);
    let headers = HeaderMap::from(&response.head.fields);
    assert_eq!(headers["access-control-allow-origin"], "https://app.example.no");
    assert_eq!(headers["access-control-allow-methods"], "PUT");
    assert_eq!(headers["access-control-allow-headers"], "content-type,x-a");
    assert!(headers["vary"].to_str().unwrap().starts_with("Origin"));
    assert!(!headers.contains_key("access-control-allow-credentials"));
    assert!(!headers.contains_key("access-control-allow-private-network"));
}

#[test]
fn a_page_of_an_allowed_origin_may_read_the_response() {
    let text = "GET /x HTTP/1.1\nHost: localhost\nOrigin: https://app.example.no";
    let Ok(Admission::Request(admitted)) = admit(proxy(), text) else { panic!("not admitted") };
    let mut headers = HeaderMap::new();
    headers.insert("access-control-allow-origin", http::HeaderValue::from_static("https://portal.no"));
    headers.insert("access-control-allow-credentials", http::HeaderValue::from_static("true"));
    headers.insert("vary", http::HeaderValue::from_static("Accept"));
    let mut fields = Fields::from(headers);
    admitted.cors().unwrap().apply(&mut fields);
    let headers = HeaderMap::from(&fields);
    let origins: Vec<_> = headers.get_all("access-control-allow-origin").iter().collect();
    assert_eq!(origins, ["https://app.example.no"]);
    assert!(!headers.contains_key("access-control-allow-credentials"));
    assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
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
fn the_listeners_own_address() {
    let at = |listen: &str, local: Option<&str>, host: &str| {
        let policy = Policy::new(Settings { listen: Listen::Tcp(listen.parse().unwrap()), ..proxy() });
        let local = local.map(|ip| ip.parse().unwrap());
        short(policy.admit(&head(&format!("GET / HTTP/1.1\nHost: {host}")), local, is_routed))
    };
    assert_eq!(at("10.1.2.3:8080", None, "10.1.2.3:8080"), "origin");
    assert_eq!(at("10.1.2.3:8080", None, "10.1.2.3"), "origin");
    assert_eq!(at("10.1.2.3:8080", None, "10.1.2.4"), "403");
    assert_eq!(at("[fd00::1]:8080", None, "[FD00:0::1]:8080"), "origin");
    assert_eq!(at("0.0.0.0:8080", Some("10.1.2.3"), "10.1.2.3:8080"), "origin");
    assert_eq!(at("0.0.0.0:8080", Some("10.1.2.3"), "10.1.2.4:8080"), "403");
    assert_eq!(at("[::]:8080", Some("::ffff:10.1.2.3"), "10.1.2.3:8080"), "origin");
    assert_eq!(at("[::]:8080", Some("::ffff:10.1.2.3"), "[::ffff:10.1.2.3]"), "403");
}

#[test]
fn a_socket_has_loopback_names() {
    let socket = || Settings { listen: Listen::Unix("/run/p.sock".into()), ..proxy() };
    table(
        socket,
        &[
            ("GET /x HTTP/1.1\nHost: localhost", "origin"),
            ("GET /x HTTP/1.1\nHost: evil.com", "403"),
            ("GET /x HTTP/1.0", "origin"),
            ("GET http://localhost/x HTTP/1.1\nHost: localhost", "origin"),
            ("GET http://localhost:3000/x HTTP/1.1\nHost: localhost:3000", "other"),
            ("GET http://localhost:9000/x HTTP/1.1\nHost: localhost:9000", "routed"),
        ],
    );
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

/// What C-like code would take for one of the proxy's own names, told without our parser.
fn is_listed(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let quads: Vec<_> = name.split('.').collect();
    let plain_127 = quads.len() == 4
        && quads[0] == "127"
        && quads.iter().all(|quad| quad.parse::<u8>().is_ok_and(|number| number.to_string() == *quad));
    name == "localhost"
        || name.ends_with(".localhost")
        || name == "proxy.example.no"
        || plain_127
        || v6.is_some_and(|text| text.parse() == Ok(std::net::Ipv6Addr::LOCALHOST))
}

fn any_host() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("localhost"),
        Just("LOCALHOST"),
        Just("127.0.0.1"),
        Just("127"),
        Just("0x7f"),
        Just("[::1]"),
        Just("::ffff:127.0.0.1"),
        Just("proxy.example.no"),
        Just("evil.com"),
        Just("8080"),
        Just("."),
        Just(":"),
        Just("@"),
        Just("["),
        Just("]"),
        Just("%"),
        Just("1"),
        Just("-"),
        Just(" "),
        Just("/"),
        Just("#"),
        Just(","),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_host_outside_the_list_is_ever_admitted(host in any_host(), http10 in any::<bool>(), admin_too in any::<bool>()) {
        let mut parts = head(if http10 { "GET /x HTTP/1.0" } else { "GET /x HTTP/1.1" });
        parts.fields.insert(HOST, host.parse().unwrap());
        let policy = Policy::new(if admin_too { admin() } else { proxy() });
        if policy.admit(&parts, None, |_| true).is_ok() {
            prop_assert!(is_listed(&host), "{host:?} was admitted");
        }
    }

    #[test]
    fn any_text_as_host_is_judged_without_a_panic(host in "\\PC{0,40}") {
        let mut parts = head("GET /x HTTP/1.1");
        if let Ok(value) = http::HeaderValue::from_bytes(host.as_bytes()) {
            parts.fields.insert(HOST, value);
            if Policy::new(proxy()).admit(&parts, None, |_| true).is_ok() {
                prop_assert!(is_listed(&host), "{host:?} was admitted");
            }
        }
    }

    #[test]
    fn a_foreign_origin_is_never_admitted(origin in "(http|https|null|)(://)?(localhost|evil\\.com|app\\.example\\.no|\\.|@|:8080|/){0,4}") {
        let mut parts = head("GET /x HTTP/1.1\nHost: localhost:8080");
        parts.fields.insert(ORIGIN, origin.parse().unwrap());
        if Policy::new(proxy()).admit(&parts, None, |_| true).is_ok() {
            prop_assert!(origin == "http://localhost:8080" || origin == "https://app.example.no", "{origin}");
        }
    }
}
