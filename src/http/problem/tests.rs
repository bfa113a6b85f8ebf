use std::collections::HashSet;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

fn parts(problem: Problem) -> (http::response::Parts, Value) {
    let (parts, body) = problem.into_response("c0ffee-1").into_parts();
    // A `Full` is ready at once.
    let bytes = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
    (parts, serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn the_response_is_a_problem_with_a_proxy_status() {
    let (head, body) = parts(Problem::new(ProblemKind::NoRoute, "no route for /x"));
    assert_eq!(head.status, 404);
    assert_eq!(head.headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!(head.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(head.headers[CACHE_CONTROL], "no-store");
    assert_eq!(
        head.headers[PROXY_STATUS],
        "maskinporten-proxy; error=destination_not_found; details=\"no route for /x\""
    );
    assert_eq!(head.headers.len(), 4, "{:?}", head.headers);
    assert_eq!(
        body,
        json!({
            "type": "urn:maskinporten-proxy:no-route",
            "title": "No route matches",
            "status": 404,
            "detail": "no route for /x",
            "instance": "c0ffee-1",
        })
    );
}

#[test]
fn details_in_the_header_are_an_sf_string_and_short() {
    let detail = format!("say \"no\" \\ to\r\nX-Evil: 1\t\u{7f}nøkkel {}", "a".repeat(1000));
    let (head, body) = parts(Problem::new(ProblemKind::TokenRefused, detail.clone()));
    let status = head.headers[PROXY_STATUS].to_str().unwrap();
    let details =
        status.strip_prefix("maskinporten-proxy; error=proxy_configuration_error; details=").unwrap();
    assert!(details.starts_with(r#""say \"no\" \\ to??X-Evil: 1??n?kkel aaa"#), "{details}");
    assert!(details.ends_with("aaa\"") && details.len() < 320, "{details}");
    assert_eq!(body["detail"], detail);
}

#[test]
fn what_maskinporten_said_is_a_member() {
    let refusal = MaskinportenError {
        error: "invalid_grant".into(),
        error_description: Some("Invalid assertion".into()),
        code: Some("MP-100".into()),
        fix: Some("check client_id".into()),
        ..MaskinportenError::default()
    };
    let (head, body) = parts(Problem::new(ProblemKind::TokenRefused, "refused").with_maskinporten(refusal));
    assert_eq!(head.status, 502);
    assert_eq!(
        body["maskinporten"],
        json!({
            "error": "invalid_grant",
            "error_description": "Invalid assertion",
            "code": "MP-100",
            "fix": "check client_id",
        })
    );
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up() {
    for (after, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
        let problem = Problem::new(ProblemKind::TokenUnavailable, "later")
            .with_retry_after(Duration::from_millis(after));
        assert_eq!(parts(problem).0.headers[RETRY_AFTER], expected, "{after} ms");
    }
}

#[test]
fn a_405_says_what_is_allowed() {
    let problem =
        Problem::new(ProblemKind::MethodNotAllowed, "no").with_allow(vec![Method::GET, Method::HEAD]);
    assert_eq!(parts(problem).0.headers[ALLOW], "GET, HEAD");
    let none = Problem::new(ProblemKind::Trace, "no").with_allow(Vec::new());
    assert_eq!(parts(none).0.headers[ALLOW], "", "RFC 9110 §10.2.1 allows an empty list");
}

#[test]
fn a_missing_password_is_asked_for() {
    let (head, _) = parts(Problem::new(ProblemKind::ProxyPassword, "password"));
    assert_eq!(head.status, 407);
    let asked: Vec<_> = head.headers.get_all(PROXY_AUTHENTICATE).iter().collect();
    assert_eq!(asked, [BASIC, BEARER]);
    let (head, _) = parts(Problem::new(ProblemKind::AdminPassword, "password"));
    assert_eq!(head.status, 401);
    assert_eq!(head.headers[WWW_AUTHENTICATE], BASIC);
}

#[test]
fn framing_errors_close_the_connection_and_refusals_do_not() {
    assert_eq!(parts(Problem::new(ProblemKind::Framing, "x")).0.headers[CONNECTION], "close");
    assert!(!parts(Problem::new(ProblemKind::HostNotAllowed, "x")).0.headers.contains_key(CONNECTION));
}

#[test]
fn further_headers_are_kept() {
    let problem = Problem::new(ProblemKind::NoRoute, "x")
        .with_header(http::header::VARY, HeaderValue::from_static("Origin"));
    assert_eq!(parts(problem).0.headers["vary"], "Origin");
}

#[test]
fn every_kind_is_told_apart_and_well_formed() {
    // The statuses that users are told of, and the error types of RFC 9209 §2.3.
    let statuses = [400, 401, 403, 404, 405, 407, 408, 413, 414, 421, 431, 502, 503, 504, 508];
    let errors = [
        "dns_timeout",
        "dns_error",
        "destination_not_found",
        "destination_unavailable",
        "destination_ip_prohibited",
        "destination_ip_unroutable",
        "connection_refused",
        "connection_terminated",
        "connection_timeout",
        "tls_protocol_error",
        "tls_certificate_error",
        "http_request_error",
        "http_request_denied",
        "http_response_timeout",
        "http_upgrade_failed",
        "http_protocol_error",
        "proxy_internal_response",
        "proxy_configuration_error",
        "proxy_loop_detected",
    ];
    let mut seen = HashSet::new();
    let mut slugs = HashSet::new();
    for kind in ProblemKind::ALL {
        let status = kind.status().as_u16();
        assert!(statuses.contains(&status), "{kind:?}");
        assert!(errors.contains(&kind.proxy_error()), "{kind:?}");
        assert!(slugs.insert(kind.slug()), "{kind:?}");
        assert!(kind.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{kind:?}");
        seen.insert(status);
        let failed = kind.failed();
        if matches!(status, 401 | 403 | 407) {
            assert_eq!(failed, Failed::Guard, "{kind:?}");
        }
        if status == 503 && *kind != ProblemKind::TooManyStreams {
            assert_eq!(failed, Failed::Token);
        }
        if kind.slug().starts_with("upstream-") {
            assert_eq!(failed, Failed::Upstream);
        }
    }
    assert_eq!(seen.len(), statuses.len(), "every status is made by some kind");
}
