use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::oauth::Profile;
use crate::oauth::testing::{
    Bench, Endpoint, TestSigner, answer, config, idle_identity, refusal_answer, token_answer, unsigned_jwt,
    until,
};
use crate::secret::Secret;

async fn numbered() -> Endpoint {
    Endpoint::start(|number, _| token_answer(&format!("token-{number}"), 7200)).await
}

#[tokio::test]
async fn one_source_for_each_identity() {
    let (bench, endpoint) = (Bench::new(), numbered().await);
    let identity = bench.identity(&endpoint);
    let acting = identity.clone().with_consumer_org("910753614");
    let (one, other) = (bench.sources.source(&identity), bench.sources.source(&acting));
    assert!(Arc::ptr_eq(&one, &bench.sources.source(&bench.identity(&endpoint))), "made from the same parts");
    assert!(!Arc::ptr_eq(&one, &other));
    let (one, other) = tokio::join!(one.authorization(), other.authorization());
    assert_ne!(one.expect("a token").header, other.expect("a token").header);
}

#[tokio::test]
async fn many_identities_in_parallel_each_get_their_own_token() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|_, seen| {
        token_answer(&format!("for-{}", seen.grant()["consumer_org"].as_str().expect("a string")), 7200)
    })
    .await;
    let identity = bench.identity(&endpoint);
    let requests: Vec<_> = (0..600)
        .map(|number| {
            let org = format!("{:09}", number % 100);
            let source = bench.sources.source(&identity.clone().with_consumer_org(org.clone()));
            tokio::spawn(async move {
                let authorization = source.authorization().await.expect("a token");
                assert_eq!(authorization.header, format!("Bearer for-{org}").as_str());
            })
        })
        .collect();
    for request in requests {
        request.await.expect("each had its own");
    }
    assert_eq!(endpoint.seen().len(), 100);
    assert_eq!(bench.sources.len(), 100);
}

#[tokio::test]
async fn the_least_recently_used_goes_first_and_the_kept_stay() {
    let (bench, endpoint) = (Bench::with_capacity(3), numbered().await);
    let identity = bench.identity(&endpoint);
    let acting = |org: &str| identity.clone().with_consumer_org(org);
    let fixed = bench.sources.source(&identity);
    bench.sources.reconcile(&[Arc::clone(&fixed)]);
    for org in ["1", "2", "3"] {
        bench.sources.source(&acting(org)).authorization().await.expect("a token");
        bench.clock.advance(Duration::from_secs(1));
    }
    bench.sources.source(&acting("1")).current().expect("it is held and used now");
    bench.clock.advance(Duration::from_secs(1));
    bench.sources.source(&acting("4")).authorization().await.expect("a token");

    let held: HashSet<_> = bench
        .sources
        .all()
        .iter()
        .filter_map(|source| source.identity().consumer_org().map(str::to_owned))
        .collect();
    assert_eq!(held, HashSet::from(["1".to_owned(), "3".to_owned(), "4".to_owned()]));
    assert!(Arc::ptr_eq(&fixed, &bench.sources.source(&identity)));
}

#[tokio::test]
async fn memory_is_bounded() {
    let (bench, endpoint) = (Bench::with_capacity(1000), numbered().await);
    let identity = bench.identity(&endpoint);
    for number in 0..5000 {
        bench.sources.source(&identity.clone().with_consumer_org(number.to_string()));
    }
    assert!(bench.sources.len() <= 1002, "{}", bench.sources.len());
}

#[tokio::test]
async fn a_hundred_thousand_identities_are_the_most_that_is_held() {
    let bench = Bench::with_capacity(CAPACITY);
    let nobody = idle_identity(&bench);
    let person = |number: usize| nobody.clone().with_pid(Secret::new(format!("{number:011}")));
    for number in 0..CAPACITY + CAPACITY / 20 {
        bench.sources.source(&person(number));
        if number % 1000 == 0 {
            bench.clock.advance(Duration::from_millis(1));
        }
    }
    // The shards share the bound, rounded up, and fill evenly but for chance.
    let held = bench.sources.len();
    assert!((CAPACITY * 9 / 10..=CAPACITY + 256).contains(&held), "{held}");
    let people: HashSet<_> =
        bench.sources.all().iter().filter_map(|source| source.identity().pid().map(str::to_owned)).collect();
    let newest = CAPACITY..CAPACITY + CAPACITY / 20;
    assert!(newest.map(|number| format!("{number:011}")).all(|number| people.contains(&number)));
}

#[tokio::test(start_paused = true)]
async fn spent_sources_are_swept_out() {
    let bench = Bench::new();
    let identity = idle_identity(&bench);
    bench.sources.source(&identity.with_consumer_org("910753614"));
    assert_eq!(bench.sources.len(), 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(bench.sources.len(), 1, "it was asked for lately");
    bench.clock.advance(Duration::from_secs(61));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(bench.sources.len(), 0);
}

#[tokio::test]
async fn an_unchanged_client_keeps_its_tokens_through_a_reload() {
    let (bench, endpoint) = (Bench::new(), numbered().await);
    let first = bench.sources.source(&bench.identity(&endpoint));
    bench.sources.reconcile(&[Arc::clone(&first)]);
    until("the token is held", || first.is_ready()).await;

    let again = bench.sources.source(&bench.identity(&endpoint));
    bench.sources.reconcile(&[Arc::clone(&again)]);
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(endpoint.seen().len(), 1);

    bench.sources.reconcile(&[]);
    assert!(!first.is_kept());
    assert!(first.is_ready(), "requests in flight still have it");
}

#[tokio::test]
async fn the_old_keys_token_serves_until_the_new_key_has_its_own() {
    let bench = Bench::new();
    let endpoint = Endpoint::start(|number, _| match number {
        0 => token_answer("by-the-old-key", 7200),
        1 => refusal_answer("the key is not registered yet (MP-124)"),
        _ => token_answer("by-the-new-key", 7200),
    })
    .await;
    let with_key = |number| {
        let settings = config(Some(endpoint.url("/token")));
        let client =
            bench.sources.client(&settings, Arc::new(TestSigner { number, ..TestSigner::with_kid() }));
        bench.sources.source(&Identity::new(Profile::new(client, vec!["a:b".into()], Vec::new(), None)))
    };
    let old = with_key(1);
    bench.sources.reconcile(&[Arc::clone(&old)]);
    until("the old key has its token", || old.is_ready()).await;

    let new = with_key(2);
    bench.sources.reconcile(&[Arc::clone(&new)]);
    assert_eq!(new.current().expect("taken over").header, "Bearer by-the-old-key");
    until("the new key was refused", || new.status().error.is_some()).await;
    assert_eq!(new.current().expect("still").header, "Bearer by-the-old-key");

    bench.sources.reconcile(&[Arc::clone(&new)]);
    until("the new key has its token", || {
        new.current().is_some_and(|authorization| authorization.header == "Bearer by-the-new-key")
    })
    .await;
}

#[tokio::test]
async fn an_exchanged_token_is_had_through_a_maskinporten_token_with_time_left() {
    let bench = Bench::new();
    let clock = bench.clock.clone();
    let endpoint = Endpoint::start(move |number, seen| {
        if seen.path == "/token" {
            return token_answer(&format!("maskinporten-{number}"), 120);
        }
        assert!(
            seen.authorization.as_deref().is_some_and(|bearer| bearer.starts_with("Bearer maskinporten-"))
        );
        let now =
            clock.wall().duration_since(std::time::SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let mut response = answer(200, unsigned_jwt(&json!({"exp": now + 30, "n": number})));
        // The clock of this test is not the one that hyper's Date would tell.
        let date = httpdate::fmt_http_date(clock.wall());
        response.headers_mut().insert("date", date.parse().expect("a header"));
        response
    })
    .await;
    let profile =
        Profile::new(bench.client(&endpoint), vec!["a:b".into()], Vec::new(), Some(endpoint.url("/")));
    let source = bench.sources.source(&Identity::new(profile));
    let asked = |path: &str| {
        endpoint.seen().iter().filter(|seen| (seen.path == "/token") == (path == "/token")).count()
    };

    let first = source.authorization().await.expect("a token");
    bench.clock.advance(Duration::from_secs(30));
    source.authorization().await.expect("a token");
    assert_eq!((asked("/token"), asked("exchange")), (1, 2), "the Maskinporten token served twice");

    bench.clock.advance(Duration::from_secs(60));
    let third = source.authorization().await.expect("a token");
    assert_eq!((asked("/token"), asked("exchange")), (2, 3), "it was near its end");
    assert_ne!(first.header, third.header);

    assert!(source.rejected(third.serial));
    source.authorization().await.expect("a token");
    assert_eq!((asked("/token"), asked("exchange")), (3, 4), "a refused token is had from scratch");
}
