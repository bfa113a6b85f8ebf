use std::collections::HashSet;

use super::*;

const DOCUMENTED: [&str; 17] = [
    "MP-011", "MP-012", "MP-100", "MP-110", "MP-120", "MP-121", "MP-122", "MP-123", "MP-124", "MP-130",
    "MP-200", "MP-201", "MP-250", "MP-251", "MP-301", "MP-302", "MP-303",
];

#[test]
fn every_documented_code_has_a_row() {
    let codes: Vec<_> = TABLE.iter().filter_map(|entry| entry.code).collect();
    assert_eq!(codes, DOCUMENTED);
}

#[test]
fn every_row_speaks_both_languages_and_says_something_of_its_own() {
    let mut causes = HashSet::new();
    for entry in TABLE {
        for language in [Language::English, Language::Norwegian] {
            assert!(entry.cause(language).len() > 10, "{entry:?}");
            assert!(entry.fix(language).len() > 10, "{entry:?}");
            assert!(!entry.fix(language).contains("  "), "{entry:?}");
            assert!(causes.insert(entry.cause(language)), "{entry:?}");
        }
        assert!(entry.code.is_some() != entry.text.is_some(), "{entry:?}");
    }
}

#[test]
fn a_code_is_found_anywhere_in_the_description() {
    for (description, code) in [
        ("MP-100", "MP-100"),
        ("Client authentication failed. (MP-100) (trace_id: 5f2c)", "MP-100"),
        ("Invalid assertion. Client is missing scope: MP-200.", "MP-200"),
        ("XMP-100, MP-1234, MP-12: MP-999", "MP-999"),
    ] {
        assert_eq!(code_in(description), Some(code), "{description}");
    }
    for none in ["", "MP-", "MP-12", "MP-1234", "AMP-100", "mp-100", "MP-æøå"] {
        assert_eq!(code_in(none), None, "{none}");
    }
}

#[test]
fn rows_are_found_by_code_or_by_text() {
    assert_eq!(lookup("no (MP-122)").and_then(|entry| entry.code), Some("MP-122"));
    assert_eq!(lookup("no (MP-999)"), None);
    let ahead = lookup("Invalid assertion: Issue time is after now").expect("a row without a code");
    assert!(ahead.clock && ahead.class == Class::AtOnce);
    let own =
        lookup("Combination consumer_org in claim and delegation scope on client is invalid").expect("a row");
    assert!(own.fix(Language::English).contains("consumer_org"));
}

#[test]
fn only_reuse_and_clocks_are_worth_a_fresh_grant_at_once() {
    let at_once: Vec<_> =
        TABLE.iter().filter(|entry| entry.class == Class::AtOnce).map(|entry| entry.code).collect();
    assert_eq!(at_once, [Some("MP-012"), Some("MP-130"), None]);
    assert!(TABLE.iter().all(|entry| entry.class != Class::Transient));
}
