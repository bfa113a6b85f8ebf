//! The headers that feed claims: what is taken from them, what is refused, and that they stay here.

use maskinporten_proxy::sandbox::CONSUMER;

use super::get;
use crate::support::numbers::{organisations, persons};
use crate::support::{Answer, Setup, Upstream, sandbox};
use crate::tokens::problem;

#[tokio::test]
async fn values_that_are_no_use_are_refused_before_anything_is_fetched() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let listed = format!("consumer_org = {{ header = \"X-Org\", allow = [\"{CONSUMER}\"] }}");
    let app = Setup::new(&sandbox)
        .route_with("org", "/org", &upstream.url(), "consumer_org = { header = \"X-Org\" }")
        .route_with("listed", "/listed", &upstream.url(), &listed)
        .route_with("system", "/system", &upstream.url(), "systemuser_org = { header = \"X-Org\" }")
        .route_with("person", "/person", &upstream.url(), "pid = { header = \"X-Pid\" }")
        .start()
        .await;
    let other = organisations().next().expect("an organisation");
    let person = persons().next().expect("a person");
    // One digit off: the control digit tells.
    let off = |number: &str| {
        let last = (number.as_bytes()[number.len() - 1] - b'0' + 1) % 10;
        format!("{}{last}", &number[..number.len() - 1])
    };
    let (wrong_org, wrong_person) = (off(CONSUMER), off(&person));
    let twice = format!("{CONSUMER}, {CONSUMER}");
    let spaced = "910 753 614";

    for path in ["/org", "/listed", "/system"] {
        for headers in [
            &[][..],
            &[("X-Org", "")],
            &[("X-Org", " \t")],
            &[("X-Org", CONSUMER), ("X-Org", CONSUMER)],
            &[("X-Org", CONSUMER), ("x-org", &other)],
            &[("X-Org", ""), ("X-Org", CONSUMER)],
            &[("X-Org", &twice)],
            &[("X-Org", "91075361\u{664}")],
        ] {
            let response = get(&app, path, headers).await;
            problem(&response, 400, "claim-header");
        }
    }
    for path in ["/org", "/system"] {
        for value in [wrong_org.as_str(), "91075361", "9107536144", spaced, "0192:910753614", "x", &person] {
            let response = get(&app, path, &[("X-Org", value)]).await;
            let told = problem(&response, 400, "claim-header").to_string();
            assert!(value.len() < 8 || !told.contains(value), "{told}");
        }
    }
    for value in [other.as_str(), &wrong_org, "x"] {
        let response = get(&app, "/listed", &[("X-Org", value)]).await;
        problem(&response, 403, "claim-not-allowed");
    }
    for value in [&wrong_person, "0101700002", CONSUMER, "99999999999"] {
        let response = get(&app, "/person", &[("X-Pid", value)]).await;
        let told = problem(&response, 400, "claim-header").to_string();
        assert!(!told.contains(value), "{told}");
    }

    assert_eq!(sandbox.control().counts().token_requests, 0);
    assert!(upstream.seen().is_empty());
    assert_eq!(get(&app, "/listed", &[("X-Org", CONSUMER)]).await.status, 200, "the positive control");
    assert_eq!(get(&app, "/person", &[("X-Pid", &person)]).await.status, 200);
}

#[tokio::test]
async fn the_header_is_consumed_however_it_is_sent() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox)
        .route_with("org", "/", &upstream.url(), "consumer_org = { header = \"X-Consumer-Org\" }")
        .start()
        .await;
    for connection in
        [None, Some("X-Consumer-Org"), Some("keep-alive, x-consumer-org"), Some("close, X-CONSUMER-ORG")]
    {
        let mut headers = vec![("x-CONSUMER-org", CONSUMER), ("X-Other", "stays")];
        headers.extend(connection.map(|value| ("Connection", value)));
        let response = get(&app, "/", &headers).await;
        assert_eq!(response.status, 200, "{connection:?}: {}", response.text());
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!(request.headers("x-consumer-org"), Vec::<&str>::new());
        assert_eq!(request.header("x-other"), Some("stays"));
        assert!(!request.head.contains(CONSUMER), "{}", request.head);
    }
    let requests = sandbox.control().token_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].claims.text("consumer_org"), Some(CONSUMER));
}

/// A header that only another route takes a claim from is like any other.
#[tokio::test]
async fn a_header_that_feeds_no_claim_of_the_route_passes() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox)
        .route_with("org", "/org", &upstream.url(), "consumer_org = { header = \"X-Org\" }")
        .route("plain", "/plain", &upstream.url())
        .start()
        .await;
    assert_eq!(get(&app, "/plain", &[("X-Org", "anything")]).await.status, 200);
    assert_eq!(upstream.seen()[0].header("x-org"), Some("anything"));
}
