use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use proptest::prelude::*;

use super::*;

/// [`super::strip`] on a map, which is easier to write down and to compare.
fn strip(headers: &mut HeaderMap, direction: Direction) -> Option<Upgrade> {
    let mut fields = Fields::from(std::mem::take(headers));
    let upgrade = super::strip(&mut fields, direction);
    *headers = HeaderMap::from(&fields);
    upgrade
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn stripped(lines: &[(&str, &str)], direction: Direction) -> HeaderMap {
    let mut headers = map(lines);
    strip(&mut headers, direction);
    headers
}

#[test]
fn end_to_end_fields_stay() {
    let lines = [
        ("host", "a"),
        ("accept", "*/*"),
        ("trailer", "x-sum"),
        ("content-length", "3"),
        ("cookie", "a=b"),
        ("x-proxy-thing", "1"),
    ];
    assert_eq!(stripped(&lines, Direction::Request), map(&lines));
    assert_eq!(stripped(&lines, Direction::Response), map(&lines));
}

#[test]
fn every_connection_line_counts_in_any_case_and_with_all_values_of_a_name() {
    let left = stripped(
        &[
            ("connection", "keep-alive, X-One"),
            ("accept", "*/*"),
            ("connection", " ,x-TWO,, AUTHORIZATION\t"),
            ("x-one", "1"),
            ("x-one", "2"),
            ("x-two", "1"),
            ("authorization", "Bearer evil"),
            ("x-three", "stays"),
        ],
        Direction::Request,
    );
    assert_eq!(left, map(&[("accept", "*/*"), ("x-three", "stays")]));
}

#[test]
fn what_connection_names_without_being_there_does_no_harm() {
    assert!(stripped(&[("connection", "close, x-none, not a name, \"q\"")], Direction::Request).is_empty());
}

#[test]
fn content_length_cannot_be_named_away_and_host_can() {
    let lines =
        [("connection", "Content-Length, Host, Transfer-Encoding"), ("content-length", "3"), ("host", "a")];
    assert_eq!(stripped(&lines, Direction::Request), map(&[("content-length", "3")]));
    assert_eq!(stripped(&lines, Direction::Response), map(&[("content-length", "3")]));
}

#[test]
fn the_fixed_list_goes_without_being_named() {
    let lines = [
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-whatever", "x"),
        ("transfer-encoding", "chunked"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ];
    assert!(stripped(&lines, Direction::Request).is_empty());
    assert!(stripped(&lines, Direction::Response).is_empty());
}

#[test]
fn proxy_status_is_end_to_end_in_responses_alone() {
    let lines = [("proxy-status", "cdn; error=dns_error")];
    assert_eq!(stripped(&lines, Direction::Response), map(&lines));
    assert!(stripped(&lines, Direction::Request).is_empty());
    let named = [("proxy-status", "cdn"), ("connection", "proxy-status")];
    assert!(stripped(&named, Direction::Response).is_empty());
}

#[test]
fn te_keeps_trailers_alone() {
    for (lines, kept) in [
        (&["trailers"][..], true),
        (&["Trailers"], true),
        (&["gzip;q=0.5, trailers"], true),
        (&["deflate", "trailers"], true),
        (&["gzip"], false),
        (&["trailers-not"], false),
    ] {
        let mut headers = map(&[("connection", "TE")]);
        for line in lines {
            headers.append("te", line.parse().unwrap());
        }
        strip(&mut headers, Direction::Request);
        let expected = if kept { map(&[("te", "trailers")]) } else { HeaderMap::new() };
        assert_eq!(headers, expected, "{lines:?}");
    }
    assert!(stripped(&[("te", "trailers")], Direction::Response).is_empty());
}

#[test]
fn an_upgrade_is_one_only_where_connection_names_it() {
    for (lines, protocols) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], Some("websocket")),
        (&[("connection", "keep-alive, UPGRADE"), ("upgrade", "WebSocket")], Some("WebSocket")),
        (&[("connection", "upgrade"), ("upgrade", "foo/2, h2c"), ("upgrade", "bar")], Some("foo/2, bar")),
        (&[("connection", "keep-alive"), ("upgrade", "websocket")], None),
        (&[("upgrade", "websocket")], None),
        (&[("connection", "upgrade")], None),
        (&[("connection", "upgrade"), ("upgrade", "")], None),
        (&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMA")], None),
        (&[("connection", "upgrade"), ("upgrade", "TLS/1.0, HTTP/2.0, H2C")], None),
    ] {
        let mut headers = map(lines);
        let upgrade = strip(&mut headers, Direction::Request);
        assert_eq!(upgrade.as_ref().map(|u| u.protocols().to_str().unwrap()), protocols, "{lines:?}");
        assert!(headers.is_empty(), "{headers:?}");
    }
}

#[test]
fn an_upgrade_that_is_carried_out_is_put_back() {
    let mut headers = map(&[("connection", "Upgrade, X-Gone"), ("upgrade", "websocket"), ("x-gone", "1")]);
    let upgrade = strip(&mut headers, Direction::Request).unwrap();
    let mut fields = Fields::from(headers);
    upgrade.put_on(&mut fields);
    assert_eq!(HeaderMap::from(&fields), map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
}

#[test]
fn a_101_may_only_switch_to_what_was_asked_for() {
    let upgrade = |protocols: &str| {
        let mut headers = map(&[("connection", "upgrade"), ("upgrade", protocols)]);
        strip(&mut headers, Direction::Response).unwrap()
    };
    assert!(upgrade("websocket, foo").offers(&upgrade("WebSocket")));
    assert!(!upgrade("websocket").offers(&upgrade("foo")));
    assert!(!upgrade("websocket").offers(&upgrade("websocket, foo")));
}

fn any_headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        Just("connection"),
        Just("te"),
        Just("upgrade"),
        Just("keep-alive"),
        Just("transfer-encoding"),
        Just("content-length"),
        Just("proxy-status"),
        Just("proxy-x"),
        Just("host"),
        Just("authorization"),
        Just("x-a"),
        Just("x-b"),
    ];
    let value = "((close|keep-alive|upgrade|te|trailers|x-a|X-B|host|h2c|websocket|authorization|content-length)[ ,]{0,2}){0,4}";
    prop::collection::vec((name, value), 0..12).prop_map(|lines| {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.trim())).collect();
        map(&lines)
    })
}

proptest! {
    #[test]
    fn stripping_is_idempotent_and_thorough(headers in any_headers(), response in any::<bool>()) {
        let direction = if response { Direction::Response } else { Direction::Request };
        let fields = Fields::from(headers.clone());
        let named: Vec<_> = fields.list(Name::Connection)
            .filter_map(|option| HeaderName::from_bytes(option).ok())
            .collect();
        let mut once = headers.clone();
        strip(&mut once, direction);
        for name in named {
            let kept = name == CONTENT_LENGTH || (name == TE && once.get(TE).is_some_and(|te| te == "trailers"));
            prop_assert!(kept || !once.contains_key(&name), "{name} is left");
        }
        for name in once.keys() {
            prop_assert!(name != CONNECTION && name != UPGRADE && name != TRANSFER_ENCODING);
            prop_assert!(!name.as_str().starts_with("proxy-") || (response && name == "proxy-status"));
        }
        prop_assert_eq!(once.get_all(CONTENT_LENGTH).iter().count(), headers.get_all(CONTENT_LENGTH).iter().count());
        let mut twice = once.clone();
        prop_assert_eq!(strip(&mut twice, direction), None);
        prop_assert_eq!(twice, once);
    }
}
