use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use super::*;
use crate::oauth::error::Class;
use crate::oauth::testing::{Endpoint, answer, http, unsigned_jwt};

fn in_seconds(seconds: u64) -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() + seconds
}

fn maskinporten_token(clock: &Clock) -> AccessToken {
    AccessToken::new("maskinporten-token", Some(&json!(120)), None, clock.wall(), clock.monotonic())
        .expect("valid")
}

async fn exchange(
    script: impl Fn() -> ::http::Response<Full<Bytes>> + Send + Sync + 'static,
) -> Result<AccessToken, TokenError> {
    let endpoint = Endpoint::start(move |_, seen| {
        assert_eq!(seen.method, "GET");
        assert_eq!(seen.path, "/authentication/api/v1/exchange/maskinporten");
        assert_eq!(seen.authorization.as_deref(), Some("Bearer maskinporten-token"));
        script()
    })
    .await;
    let clock = Clock::system();
    altinn(&http(), &endpoint.url("/"), &maskinporten_token(&clock), Some("17018900123"), &clock).await
}

#[tokio::test]
async fn the_token_may_be_bare_or_quoted() {
    let jwt = unsigned_jwt(&json!({"exp": in_seconds(1800), "urn:altinn:org": "digdir"}));
    for body in [jwt.clone(), format!("\"{jwt}\""), format!(" {jwt}\r\n")] {
        let token = exchange(move || answer(200, body.clone())).await.expect("a token");
        assert_eq!(token.expose(), jwt);
        let life = token.expires_in();
        assert!(life > Duration::from_secs(1795) && life <= Duration::from_secs(1801), "{life:?}");
    }
}

#[tokio::test]
async fn its_errors_are_altinns() {
    let refused = exchange(|| answer(401, "no such scope for maskinporten-token, 17018900123")).await;
    let Err(error @ TokenError::ExchangeRefused { status: 401, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.to_string().contains("Altinn refused") && error.to_string().contains("no such scope"));
    assert!(!error.to_string().contains("maskinporten-token") && !error.to_string().contains("17018900123"));

    let down = exchange(|| answer(503, "")).await;
    assert!(
        matches!(down, Err(TokenError::Unavailable { service: Service::Altinn, status: 503, .. })),
        "{down:?}"
    );
    let moved = exchange(|| answer(302, "")).await;
    assert!(matches!(moved, Err(TokenError::Redirected { service: Service::Altinn, .. })), "{moved:?}");
}

#[tokio::test]
async fn what_is_no_living_jwt_is_no_token() {
    for (body, expected) in [
        (String::new(), AnswerFault::Empty),
        ("<html>log in</html>".into(), AnswerFault::NoToken),
        ("\"opaque\"".into(), AnswerFault::NoToken),
        (unsigned_jwt(&json!({"exp": 1_000_000_000})), AnswerFault::Dead),
    ] {
        match exchange(move || answer(200, body.clone())).await {
            Err(TokenError::Malformed { service: Service::Altinn, fault, .. }) => assert_eq!(fault, expected),
            other => panic!("{other:?}"),
        }
    }
}
