//! The table against the types that serde reads: neither may know a key that the other does not.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::*;
use crate::config::file;

/// The fields that serde knows of a struct that denies unknown ones.
fn fields<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    let value: Value = Dict::from([("no such field".to_owned(), true.into())]).into();
    let Err(error) = value.deserialize::<T>() else { panic!("the struct takes any field") };
    match error.kind {
        figment::error::Kind::UnknownField(_, fields) => fields.iter().copied().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_table_has_exactly_the_keys_of_the_types() {
    let known = |pattern: &str| children(pattern).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(fields::<file::File>(), known(""));
    assert_eq!(fields::<file::Client>(), known("clients.*"));
    assert_eq!(fields::<file::Key>(), known("clients.*.key"));
    assert_eq!(fields::<file::Route>(), known("routes.#"));
    assert_eq!(fields::<file::Forward>(), known("forward"));
    assert_eq!(fields::<file::Inbound>(), known("inbound"));
    assert_eq!(fields::<file::InboundTls>(), known("inbound.tls"));
    assert_eq!(fields::<file::Upstream>(), known("upstream"));
    assert_eq!(fields::<file::SecretForm>(), SECRET_FORMS.into());
    assert_eq!(fields::<file::ClaimHeader>(), CLAIM_FORMS.into());
}

/// One value for each kind, which the check lets through.
fn samples(kind: Kind) -> Vec<Value> {
    let header: Value = Dict::from([("header".to_owned(), "X-A".into())]).into();
    match kind {
        Kind::Text(_) | Kind::Url(_) | Kind::KeyFile => vec!["text".into()],
        Kind::Choice(values) => values.iter().map(|value| (*value).into()).collect(),
        Kind::Count => vec![1.into(), 64.into()],
        Kind::Flag => vec![true.into(), false.into()],
        Kind::List(_) => vec![vec!["a", "b"].into()],
        Kind::Secret => {
            let form = |name: &str| Dict::from([(name.to_owned(), "x".into())]).into();
            vec!["literal".into(), form("env"), form("file"), form("command")]
        }
        Kind::Claim(_) | Kind::PersonClaim(_) => vec!["fixed".into(), header],
        Kind::Tables => vec![vec![header].into()],
    }
}

#[test]
fn every_value_that_the_check_lets_through_fits_the_types() {
    let mut seen = 0;
    for key in KEYS {
        for sample in samples(key.kind) {
            let mut value = sample;
            for segment in key.pattern.rsplit('.') {
                value = match segment {
                    "#" => vec![value].into(),
                    "*" => Dict::from([("name".to_owned(), value)]).into(),
                    name => Dict::from([(name.to_owned(), value)]).into(),
                };
            }
            let Value::Dict(_, root) = &value else { panic!("a table") };
            let problems = check(root, &crate::config::layer::Origins::default());
            assert_eq!(problems, [], "{}", key.pattern);
            assert!(value.deserialize::<file::File>().is_ok(), "{}", key.pattern);
            seen += 1;
        }
    }
    assert!(seen > KEYS.len());
}

#[test]
fn every_key_stands_in_a_section_and_every_section_has_keys() {
    let tables: BTreeSet<&str> =
        KEYS.iter().map(|key| key.pattern.rsplit_once('.').map_or("", |(table, _)| table)).collect();
    let sections: BTreeSet<&str> = SECTIONS.iter().map(|section| section.pattern).collect();
    assert_eq!(tables, sections);
}

#[test]
fn the_nearest_name_is_near() {
    let names = ["client_id", "environment", "issuer", "key"];
    assert_eq!(nearest("clientid", names), Some("client_id"));
    assert_eq!(nearest("client-id", names), Some("client_id"));
    assert_eq!(nearest("enviroment", names), Some("environment"));
    assert_eq!(nearest("keys", names), Some("key"));
    assert_eq!(nearest("zzz", names), None);
    assert_eq!(elsewhere("client_id").as_deref(), Some("clients.NAME.client_id"));
    assert_eq!(elsewhere("scopes").as_deref(), Some("routes[].scopes"));
    assert_eq!(elsewhere("zzz"), None);
}
