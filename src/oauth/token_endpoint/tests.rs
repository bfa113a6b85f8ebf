use std::sync::Arc;

use ::http::{Response, header::DATE};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use super::*;
use crate::oauth::error::Class;
use crate::oauth::identity::{Identity, Profile};
use crate::oauth::testing::{
    Bench, Endpoint, TestSigner, answer, config, http, refusal_answer, token_answer, unsigned_jwt,
};

const PID: &str = "17018900123";

/// One grant to an endpoint that gives this answer.
async fn ask(script: impl Fn(&str) -> Response<Full<Bytes>> + Send + Sync + 'static) -> TokenAnswer {
    let bench = Bench::new();
    let endpoint = Endpoint::start(move |_, seen| {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/token"));
        assert_eq!(seen.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
        script(&seen.body)
    })
    .await;
    let client = bench.sources.client(&config(None), Arc::new(TestSigner::with_kid()));
    let profile = Profile::new(client, vec!["a:b".into()], Vec::new(), None);
    let identity = Identity::new(profile).with_pid(Secret::from(PID));
    let assertion =
        Assertion::sign(&identity, &TestSigner::with_kid(), bench.clock.wall()).expect("it signs");
    request(&http(), &endpoint.url("/token"), &assertion, Some(PID), &bench.clock).await
}

async fn fault_of(script: impl Fn(&str) -> Response<Full<Bytes>> + Send + Sync + 'static) -> AnswerFault {
    match ask(script).await.result {
        Err(error @ TokenError::Malformed { .. }) => {
            assert_eq!(error.class(), Class::Transient);
            let TokenError::Malformed { fault, .. } = error else { unreachable!("it was just matched") };
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_taken_with_its_life_and_scope() {
    let token =
        ask(|body| {
            assert!(body.starts_with(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"
            ));
            token_answer("abc.DEF-_~+/=", 119)
        });
    let token = token.await.result.expect("a token");
    assert_eq!(token.expose(), "abc.DEF-_~+/=");
    assert_eq!(token.expires_in(), Duration::from_secs(119));
    assert_eq!(token.scope(), Some("a:b"));
    let header = token.to_header();
    assert_eq!(header, "Bearer abc.DEF-_~+/=");
    assert!(header.is_sensitive());
    assert!(!format!("{token:?} {header:?}").contains("DEF"));
}

#[tokio::test]
async fn answers_that_are_no_token_are_transient_faults() {
    let empty = || answer(200, "");
    assert_eq!(fault_of(move |_| empty()).await, AnswerFault::Empty);
    assert_eq!(fault_of(|_| answer(200, "<html>log in</html>")).await, AnswerFault::NotJson);
    assert_eq!(fault_of(|_| answer(200, r#"{"access_token":"abc","expi"#)).await, AnswerFault::NotJson);
    assert_eq!(fault_of(|_| answer(200, r#"["abc"]"#)).await, AnswerFault::NotJson);
    for none in [r#"{}"#, r#"{"access_token":""}"#, r#"{"access_token":null}"#, r#"{"access_token":7}"#] {
        assert_eq!(fault_of(move |_| answer(200, none)).await, AnswerFault::NoToken, "{none}");
    }
    assert_eq!(fault_of(|_| token_answer("abc", "soon")).await, AnswerFault::ExpiresIn);
    assert_eq!(fault_of(|_| token_answer("abc", 0)).await, AnswerFault::Dead);
    assert_eq!(fault_of(|_| answer(204, "x")).await, AnswerFault::Empty);
    assert_eq!(fault_of(|_| answer(404, "{}")).await, AnswerFault::Status);
}

#[tokio::test]
async fn a_token_that_does_not_fit_a_header_is_refused() {
    for token in ["a b", "a\r\nX-Evil: 1", "æ", "a\0b", "a\"b", "a,b"] {
        assert_eq!(
            fault_of(move |_| token_answer(token, 119)).await,
            AnswerFault::TokenCharacters,
            "{token:?}"
        );
    }
    for kind in [json!("mac"), json!(""), json!(1), json!(null)] {
        let body = json!({"access_token": "abc", "token_type": kind, "expires_in": 119}).to_string();
        assert_eq!(fault_of(move |_| answer(200, body.clone())).await, AnswerFault::TokenType, "{kind}");
    }
    let lower = json!({"access_token": "abc", "token_type": "bearer", "expires_in": 119}).to_string();
    assert!(ask(move |_| answer(200, lower.clone())).await.result.is_ok());
}

#[tokio::test]
async fn a_missing_life_is_read_from_the_token() {
    let exp = SystemTime::now() + Duration::from_secs(500);
    let exp = exp.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let jwt = unsigned_jwt(&json!({"exp": exp}));
    let body = json!({"access_token": jwt}).to_string();
    let token = ask(move |_| answer(200, body.clone())).await.result.expect("a token");
    let life = token.expires_in().as_secs();
    assert!((498..=501).contains(&life), "{life}");
}

#[tokio::test]
async fn a_refusal_is_typed_by_the_table() {
    let error = ask(|_| refusal_answer("Client authentication failed (MP-100), trace 5f")).await.result;
    let Err(error @ TokenError::Refused(_)) = error else { panic!("{error:?}") };
    assert_eq!(error.code(), Some("MP-100"));
    assert_eq!(error.class(), Class::Permanent);
    let refusal = error.maskinporten().expect("it refused");
    assert_eq!((refusal.status, refusal.error.as_str()), (400, "invalid_grant"));
}

#[tokio::test]
async fn an_endpoint_that_echoes_the_grant_gets_it_into_no_error() {
    let error = ask(|body| refusal_answer(&format!("bad assertion {body} of {PID}")))
        .await
        .result
        .expect_err("refused");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("bad assertion"), "{shown}");
    assert!(!shown.contains("eyJ") && !shown.contains(PID), "{shown}");
}

#[tokio::test]
async fn the_servers_time_is_seen_on_answers_of_every_kind() {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let date = httpdate::fmt_http_date(hour_ago);
    for status in [200, 400, 503] {
        let date = date.clone();
        let answer = ask(move |_| {
            let mut response = answer(status, "{}");
            response.headers_mut().insert(DATE, date.parse().expect("a header"));
            response
        })
        .await;
        let sighting = answer.sighting.expect("it had a Date");
        let behind = sighting.local.duration_since(sighting.server).expect("it is behind").as_secs();
        assert!((3599..=3602).contains(&behind), "{behind}");
    }
}
