#![expect(clippy::mutable_key_type, reason = "what changes in a client is no part of the comparison")]

use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::oauth::testing::{Bench, TestSigner, config};

fn profile(bench: &Bench, scopes: &[&str], resource: &[&str], key: u8) -> Arc<Profile> {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let client =
        bench.sources.client(&config(None), Arc::new(TestSigner { number: key, ..TestSigner::with_kid() }));
    Profile::new(client, own(scopes), own(resource), None)
}

#[tokio::test]
async fn every_part_tells_identities_apart() {
    let bench = Bench::new();
    let base = profile(&bench, &["a:b"], &[], 0);
    let exchanged = Profile::new(
        Arc::clone(base.client()),
        vec!["a:b".into()],
        Vec::new(),
        base.client().configured_endpoint().cloned(),
    );
    assert_eq!(exchanged, base, "no exchange in either");
    let platform = crate::oauth::metadata::parse_url("https://platform.tt02.altinn.no");
    let identities = [
        Identity::new(Arc::clone(&base)),
        Identity::new(profile(&bench, &["a:b", "c:d"], &[], 0)),
        Identity::new(profile(&bench, &["a:b c:d"], &[], 0)),
        Identity::new(profile(&bench, &["a:b"], &["c:d"], 0)),
        Identity::new(profile(&bench, &["a:b"], &[], 1)),
        Identity::new(Profile::new(Arc::clone(base.client()), vec!["a:b".into()], Vec::new(), platform)),
        Identity::new(Arc::clone(&base)).with_consumer_org("910753614"),
        Identity::new(Arc::clone(&base)).with_pid(Secret::from("910753614")),
        Identity::new(Arc::clone(&base)).with_authorization_details(json!("910753614")),
        Identity::new(Arc::clone(&base)).with_authorization_details(json!(["910753614"])),
    ];
    let distinct: HashSet<_> = identities.iter().cloned().collect();
    assert_eq!(distinct.len(), identities.len());
}

#[tokio::test]
async fn the_same_parts_are_the_same_identity() {
    let bench = Bench::new();
    let made = |details| {
        Identity::new(profile(&bench, &["a:b"], &[], 0))
            .with_pid(Secret::from("17018900123"))
            .with_authorization_details(details)
    };
    // The order of members is no difference (RFC 8259 §4).
    let one = made(json!([{"a": 1, "b": {"c": "x", "d": [true, null]}}]));
    let other = made(json!([{"b": {"d": [true, null], "c": "x"}, "a": 1}]));
    assert_eq!(one, other);
    assert_eq!(HashSet::from([one, other]).len(), 1);
}

#[tokio::test]
async fn a_replaced_key_is_recognised() {
    let bench = Bench::new();
    let with_key = |key| Identity::new(profile(&bench, &["a:b"], &[], key)).with_consumer_org("910753614");
    assert!(with_key(1).differs_in_key_alone(&with_key(2)));
    assert!(!with_key(1).differs_in_key_alone(&with_key(1)));
    assert!(!with_key(1).differs_in_key_alone(&Identity::new(profile(&bench, &["a:b"], &[], 2))));
    assert!(!with_key(1).differs_in_key_alone(&with_key(2).with_pid(Secret::from("17018900123"))));
}
