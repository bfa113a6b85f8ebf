use serde_json::json;

use super::*;
use crate::oauth::testing::{Endpoint, answer, http};

#[test]
fn urls_of_endpoints_are_https_or_loopback() {
    for good in [
        "https://test.maskinporten.no/",
        "https://a.no:8443/x?y=z",
        "http://127.0.0.1:1/token",
        "http://localhost",
    ] {
        let parsed = parse_url(good).unwrap_or_else(|| panic!("{good}"));
        assert_eq!(parsed.to_string().trim_end_matches('/'), good.trim_end_matches('/'));
    }
    for bad in [
        "",
        "http://a.no/",
        "ftp://a.no",
        "https://u:p@a.no/",
        "https:///x",
        "https://a.no/#x",
        "https://a.no/ x",
        "a.no",
    ] {
        assert_eq!(parse_url(bad), None, "{bad}");
    }
}

#[test]
fn the_well_known_address_is_put_before_the_issuers_path() {
    let well_known = |issuer| inserted(&parse_url(issuer).expect("a URL")).to_string();
    assert_eq!(
        well_known("https://test.maskinporten.no/"),
        "https://test.maskinporten.no/.well-known/oauth-authorization-server"
    );
    assert_eq!(
        well_known("https://a.no/tenant/"),
        "https://a.no/.well-known/oauth-authorization-server/tenant"
    );
    let issuer = parse_url("https://a.no/tenant/").expect("a URL");
    assert_eq!(appended(&issuer).to_string(), "https://a.no/tenant/.well-known/oauth-authorization-server");
}

#[test]
fn an_endpoint_is_on_the_issuers_host_and_as_safe() {
    let same = |issuer, endpoint| {
        same_host(&parse_url(issuer).expect("a URL"), &parse_url(endpoint).expect("a URL"))
    };
    assert!(same("https://a.no/", "https://a.no/token"));
    assert!(same("http://127.0.0.1:1/", "http://127.0.0.1:2/token"));
    assert!(!same("https://a.no/", "https://token.a.no/token"));
    assert!(!same("https://localhost/", "http://localhost/token"));
}

/// Asks for the metadata of an issuer on loopback, which answers `document`.
async fn discover(
    document: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (Result<HttpUrl, TokenError>, String) {
    let host = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&host);
    let endpoint = Endpoint::start(move |_, seen| match seen.path.as_str() {
        WELL_KNOWN => answer(200, document(known.get().expect("it was set before the first request"))),
        _ => answer(404, ""),
    })
    .await;
    let issuer = endpoint.url("/").to_string();
    host.set(issuer.clone()).expect("it is set once");
    (token_endpoint(&http(), &issuer).await, issuer)
}

#[tokio::test]
async fn metadata_that_names_the_issuer_is_believed() {
    let (found, issuer) = discover(|issuer| {
        json!({"issuer": issuer, "token_endpoint": format!("{issuer}token"), "x": 1}).to_string()
    })
    .await;
    assert_eq!(found.expect("it is valid").to_string(), format!("{issuer}token"));
}

#[tokio::test]
async fn metadata_of_another_issuer_or_endpoint_is_not() {
    let fault = async |document: fn(&str) -> String| match discover(document).await.0 {
        Err(TokenError::Malformed { service: Service::Metadata, fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    let without_slash = |issuer: &str| {
        json!({"issuer": issuer.trim_end_matches('/'), "token_endpoint": format!("{issuer}token")})
            .to_string()
    };
    assert!(matches!(fault(without_slash).await, AnswerFault::Issuer { .. }));
    for document in [
        (|issuer: &str| json!({"issuer": issuer, "token_endpoint": "https://evil.example/token"}).to_string())
            as fn(&str) -> String,
        |issuer| {
            json!({"issuer": issuer, "token_endpoint": issuer.replace("127.0.0.1", "127.0.0.2")}).to_string()
        },
        |issuer| json!({"issuer": issuer}).to_string(),
    ] {
        assert_eq!(fault(document).await, AnswerFault::Endpoint);
    }
    assert_eq!(fault(|_| "<html>".into()).await, AnswerFault::NotJson);
}

#[tokio::test]
async fn an_issuer_with_a_path_may_have_it_in_front() {
    let endpoint = Endpoint::start(|_, seen| match seen.path.as_str() {
        "/tenant/.well-known/oauth-authorization-server" => answer(500, ""),
        _ => answer(404, ""),
    })
    .await;
    let result = token_endpoint(&http(), &endpoint.url("/tenant").to_string()).await;
    assert!(matches!(result, Err(TokenError::Unavailable { status: 500, .. })), "{result:?}");
    assert_eq!(endpoint.seen()[0].path, "/.well-known/oauth-authorization-server/tenant");
    assert_eq!(token_endpoint(&http(), "maskinporten").await, Err(TokenError::IssuerUrl));
}
