//! Whom a request is for: targets, hosts and what becomes of them.

use super::*;

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
}
