//! What web pages and browsers may do.

use super::*;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_foreign_origin_is_never_admitted(origin in "(http|https|null|)(://)?(localhost|evil\\.com|app\\.example\\.no|\\.|@|:8080|/){0,4}") {
        let mut parts = head("GET /x HTTP/1.1\nHost: localhost:8080");
        parts.fields.insert(ORIGIN, origin.parse().unwrap());
        if Policy::new(proxy()).admit(&parts, None, |_| true).is_ok() {
            prop_assert!(origin == "http://localhost:8080" || origin == "https://app.example.no", "{origin}");
        }
    }
}
