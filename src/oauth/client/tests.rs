use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use ::http::header::{DATE, HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::*;
use crate::oauth::Profile;
use crate::oauth::testing::{Bench, Endpoint, TestSigner, answer, config, refusal_answer, token_answer};

/// Long enough for no pause to be cut.
const PAUSE: Duration = Duration::from_secs(60);

fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A server whose clock shows `time`, that takes an `iat` within 10 s of it and says what `Date`
/// it is by `date`.
async fn strict(time: u64, date: u64) -> Endpoint {
    Endpoint::start(move |_, seen| {
        let iat = seen.grant()["iat"].as_u64().expect("a number");
        let mut response = if iat > time + 10 {
            refusal_answer("Invalid assertion. Issue time is after now")
        } else if iat + 10 < time {
            refusal_answer("JWT has expired (MP-130)")
        } else {
            token_answer("abc", 119)
        };
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(date));
        response.headers_mut().insert(DATE, HeaderValue::from_str(&date).expect("a header"));
        response
    })
    .await
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_for_and_reported() {
    for offset in [-3600i64, -20, 30, 86_400] {
        let bench = Bench::new();
        let server = unix(bench.clock.wall()).saturating_add_signed(offset);
        let endpoint = strict(server, server).await;
        let identity = bench.identity(&endpoint);
        let client = identity.profile().client();
        client.token(&identity, PAUSE).await.expect("the second grant has the server's time");
        assert_eq!(endpoint.seen().len(), 2, "{offset}");
        let reported = client.skew_seconds().expect("it had a Date");
        assert!((reported - offset).abs() <= 1, "{offset}: {reported}");

        client.token(&identity, PAUSE).await.expect("it knows now");
        assert_eq!(endpoint.seen().len(), 3, "{offset}");
    }
}

#[tokio::test]
async fn small_differences_need_no_correction() {
    for offset in [-14i64, -8, 0, 4] {
        let bench = Bench::new();
        let server = unix(bench.clock.wall()).saturating_add_signed(offset);
        let endpoint = strict(server, server).await;
        let identity = bench.identity(&endpoint);
        identity.profile().client().token(&identity, PAUSE).await.expect("accepted at once");
        assert_eq!(endpoint.seen().len(), 1, "{offset}");
    }
}

#[tokio::test]
async fn a_date_that_lies_spoils_nothing() {
    let bench = Bench::new();
    let now = unix(bench.clock.wall());
    let endpoint = strict(now, now + 7200).await;
    let identity = bench.identity(&endpoint);
    let client = identity.profile().client();
    for _ in 0..3 {
        client.token(&identity, PAUSE).await.expect("our clock is right");
    }
    assert_eq!(endpoint.seen().len(), 3);
}

#[tokio::test]
async fn a_used_grant_is_followed_by_one_fresh_one() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|number, _| match number {
        0 => refusal_answer("The grant has been used (MP-012)"),
        _ => token_answer("abc", 119),
    })
    .await;
    let identity = bench.identity(&endpoint);
    identity.profile().client().token(&identity, PAUSE).await.expect("the second is fresh");
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].grant()["jti"], seen[1].grant()["jti"]);

    let stubborn = Endpoint::start(|_, _| refusal_answer("The grant has been used (MP-012)")).await;
    let identity = bench.identity(&stubborn);
    let error = identity.profile().client().token(&identity, PAUSE).await.expect_err("twice used").error;
    assert_eq!(error.code(), Some("MP-012"));
    assert_eq!(stubborn.seen().len(), 2, "one more attempt, not many");
}

#[tokio::test]
async fn a_refusal_for_good_is_asked_once() {
    for description in ["no such client (MP-100)", "no access (MP-250)", "Invalid assertion"] {
        let bench = Bench::new();
        let endpoint = Endpoint::start(move |_, _| refusal_answer(description)).await;
        let identity = bench.identity(&endpoint);
        let error = identity.profile().client().token(&identity, PAUSE).await.expect_err("refused");
        assert_eq!(error.error.class(), Class::Permanent);
        assert_eq!(endpoint.seen().len(), 1, "{description}");
        let outcomes = bench.observer.0.lock().expect("nobody panicked").clone();
        assert_eq!(outcomes, [Outcome::Refused]);
    }
}

#[tokio::test]
async fn a_pause_that_was_asked_for_holds_for_every_identity_of_the_client() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|number, _| {
        let mut response = if number == 0 { answer(429, "") } else { token_answer("abc", 119) };
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("20"));
        response
    })
    .await;
    let client = bench.client(&endpoint);
    let identity = |org: &str| {
        let profile = Profile::new(Arc::clone(&client), vec!["a:b".into()], Vec::new(), None);
        Identity::new(profile).with_consumer_org(org)
    };
    client.token(&identity("910753614"), PAUSE).await.expect_err("429");
    for org in ["910753614", "889640782", "991825827"] {
        let told = client.token(&identity(org), PAUSE).await.expect_err("the pause is in force");
        assert!(matches!(*told.error, TokenError::Unavailable { status: 429, .. }));
        let left = told.not_before.expect("until a time") - bench.clock.monotonic();
        assert!(left >= Duration::from_secs(20) && left <= Duration::from_secs(21), "{left:?}");
    }
    assert_eq!(endpoint.seen().len(), 1);
    bench.clock.advance(Duration::from_secs(22));
    client.token(&identity("889640782"), PAUSE).await.expect("the pause is over");
}

#[tokio::test]
async fn what_is_wrong_with_one_identity_stops_no_other() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|_, seen| match seen.grant()["consumer_org"].as_str() {
        Some("910753614") => refusal_answer("not delegated (MP-251)"),
        _ => token_answer("abc", 119),
    })
    .await;
    let identity = bench.identity(&endpoint);
    let client = identity.profile().client();
    client.token(&identity.clone().with_consumer_org("910753614"), PAUSE).await.expect_err("not delegated");
    client.token(&identity.clone().with_consumer_org("889640782"), PAUSE).await.expect("delegated");
}

#[tokio::test]
async fn the_endpoint_is_looked_up_once_and_again_after_a_failure() {
    static FAIL: AtomicU64 = AtomicU64::new(0);
    let host = Arc::new(std::sync::OnceLock::<String>::new());
    let known = Arc::clone(&host);
    let endpoint = Endpoint::start(move |_, seen| {
        let issuer = known.get().expect("it was set before the first request");
        match seen.path.as_str() {
            "/token" if FAIL.load(Ordering::Relaxed) == 1 => answer(404, "moved"),
            "/token" => token_answer("abc", 119),
            _ => {
                answer(200, json!({"issuer": issuer, "token_endpoint": format!("{issuer}token")}).to_string())
            }
        }
    })
    .await;
    host.set(endpoint.url("/").to_string()).expect("it is set once");
    let bench = Bench::new();
    let settings = config::Client { issuer: endpoint.url("/").to_string(), ..config(None) };
    let client = bench.sources.client(&settings, Arc::new(TestSigner::with_kid()));
    let identity = Identity::new(Profile::new(Arc::clone(&client), vec!["a:b".into()], Vec::new(), None));
    let lookups = || endpoint.seen().iter().filter(|seen| seen.path != "/token").count();

    client.token(&identity, PAUSE).await.expect("a token");
    client.token(&identity, PAUSE).await.expect("a token");
    assert_eq!(lookups(), 1);
    FAIL.store(1, Ordering::Relaxed);
    client.token(&identity, PAUSE).await.expect_err("404");
    FAIL.store(0, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(20));
    client.token(&identity, PAUSE).await.expect("a token");
    assert_eq!(lookups(), 2);
}

#[tokio::test]
async fn the_environments_endpoints_need_no_metadata() {
    let bench = Bench::new();
    for known in config::Environment::ALL {
        let settings = config::Client { environment: Some(known), ..config(None) };
        let client = bench.sources.client(&settings, Arc::new(TestSigner::with_kid()));
        assert_eq!(client.endpoint().await.expect("it is known").to_string(), known.token_endpoint());
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_client_is_asked_once_for_all_its_identities() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|number, _| match number {
        0 => refusal_answer("no such client (MP-100)"),
        _ => token_answer("abc", 119),
    })
    .await;
    let identity = bench.identity(&endpoint);
    let client = identity.profile().client();
    client.token(&identity, PAUSE).await.expect_err("refused");
    let other = identity.clone().with_consumer_org("889640782");
    let told = client.token(&other, PAUSE).await.expect_err("it would be refused too").error;
    assert_eq!(told.code(), Some("MP-100"));
    bench.clock.advance(Duration::from_secs(59));
    client.token(&other, PAUSE).await.expect_err("a minute is not over");
    assert_eq!(endpoint.seen().len(), 1);
    client.retry_now();
    client.token(&other, PAUSE).await.expect("the client was registered meanwhile");
}

#[tokio::test]
async fn many_cold_identities_open_a_bounded_number_of_connections() {
    let bench = Bench::new();
    let endpoint = Endpoint::start_delayed(Duration::from_millis(50), |_, _| token_answer("abc", 119)).await;
    let identity = bench.identity(&endpoint);
    let fetches = (0..200).map(|number| {
        let identity = identity.clone().with_consumer_org(number.to_string());
        tokio::spawn(async move { identity.profile().client().token(&identity, PAUSE).await.map(|_| ()) })
    });
    for fetch in fetches.collect::<Vec<_>>() {
        fetch.await.expect("no panic").expect("a token");
    }
    assert_eq!(endpoint.seen().len(), 200);
    let most = endpoint.most_at_once();
    assert!(most <= AT_ONCE && most > 1, "{most}");
}
