use serde_json::json;

use super::*;

/// A synthetic number: the month has 80 added, so nobody has it.
const SYNTHETIC: &str = "17912099997";

#[test]
fn check_digits_decide() {
    let digits =
        |text: &str| -> [u8; 11] { text.bytes().map(|b| b - b'0').collect::<Vec<_>>().try_into().unwrap() };
    // A synthetic number, an ordinary one, a D-number, and one of the series from 2032.
    for right in [SYNTHETIC, "01010750160", "41010112360", "01010112393"] {
        assert!(is_personal_number(&digits(right)), "{right}");
        for at in 0..11 {
            let mut changed = digits(right);
            changed[at] = (changed[at] + 1) % 10;
            assert!(!is_personal_number(&changed), "{right} changed at {at}");
        }
    }
    assert!(!is_personal_number(&digits("12345678901")));
    assert!(!is_personal_number(&digits("11111111111")));
}

#[test]
fn personal_numbers_are_masked_wherever_they_stand() {
    for (text, expected) in [
        ("17912099997", "***********"),
        ("/personer/17912099997/navn", "/personer/***********/navn"),
        ("/personer/179120%2099997", "/personer/***********"),
        ("pid 179120 99997.", "pid ***********."),
        ("179120-99997", "***********"),
        ("179120+99997", "***********"),
        ("%31%37%39%31%32%30%39%39%39%39%37", "***********"),
        ("1791209999%37", "***********"),
        ("fnr17912099997x", "fnr***********x"),
        ("17912099997,17912099997", "***********,***********"),
        ("12345678901", "12345678901"),
        ("179120999970", "179120999970"),
        ("0192:991825827", "0192:991825827"),
        ("2026-11-23T17:17:33.685545Z", "2026-11-23T17:17:33.685545Z"),
        ("trace 17912099997abcde01234abcde01234a", "trace 17912099997abcde01234abcde01234a"),
        ("blåbær 17912099997 øl", "blåbær *********** øl"),
        ("%", "%"),
        ("%3", "%3"),
        ("", ""),
    ] {
        assert_eq!(personal_numbers(text), expected, "{text}");
    }
}

#[test]
fn tokens_and_credentials_are_masked_in_text() {
    for (text, expected) in [
        ("token eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln end", "token *** end"),
        ("(eyJhbGciOiJSUzI1NiIsIng1YyI6)", "(***)"),
        ("Authorization: Bearer 0123456789abcdef0123", "Authorization: Bearer ***"),
        ("authorization: bearer AbCdEf-._~+/0123456==", "authorization: bearer ***"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic ***"),
        ("Bearer+0123456789abcdef0123", "Bearer+***"),
        ("a Bearer token is missing", "a Bearer token is missing"),
        ("basic authentication", "basic authentication"),
        ("eyJ is how it begins", "eyJ is how it begins"),
    ] {
        assert_eq!(super::text(text), expected, "{text}");
    }
}

#[test]
fn secret_parameters_are_masked_in_queries() {
    for (query, expected) in [
        ("access_token=abc&x=1", "access_token=***&x=1"),
        ("ACCESS-TOKEN=abc", "ACCESS-TOKEN=***"),
        ("access%5Ftoken=abc", "access%5Ftoken=***"),
        ("x_api_key=abc", "x_api_key=***"),
        ("client_assertion=abc&client_assertion_type=urn", "client_assertion=***&client_assertion_type=urn"),
        ("X-Amz-Signature=abc", "X-Amz-Signature=***"),
        ("code=1&password=2&pid=3&key=4", "code=***&password=***&pid=***&key=***"),
        ("scope=difi:api3&inactive=TRUE", "scope=difi:api3&inactive=TRUE"),
        ("token=", "token="),
        ("token", "token"),
        ("a=b=c&&d", "a=b=c&&d"),
        ("q=17912099997", "q=***********"),
        ("q=eyJhbGciOiJSUzI1NiJ9.e30.x", "q=***"),
        ("", ""),
    ] {
        assert_eq!(super::query(query), expected, "{query}");
    }
}

#[test]
fn claims_keep_what_identifies_nobody() {
    let mut claims = json!({
        "pid": "not even digits",
        "PID": 17912099997_u64,
        "count": 17912099997_u64,
        "exp": 1750000119,
        "consumer": {"ID": "0192:991825827"},
        "authorization_details": [{"from": "urn:altinn:person:identifier-no:17912099997"}],
        "scope": "idporten:dcr.read",
        "none": null,
    });
    super::claims(&mut claims);
    assert_eq!(
        claims,
        json!({
            "pid": "***********",
            "PID": "***********",
            "count": "***********",
            "exp": 1750000119,
            "consumer": {"ID": "0192:991825827"},
            "authorization_details": [{"from": "urn:altinn:person:identifier-no:***********"}],
            "scope": "idporten:dcr.read",
            "none": null,
        })
    );
}

proptest::proptest! {
    #[test]
    fn any_text_survives_and_is_redacted_for_good(text in "\\PC*") {
        let once = super::text(&text).into_owned();
        proptest::prop_assert_eq!(super::text(&once), once.as_str());
        let _ = query(&text);
    }

    #[test]
    fn a_number_is_found_between_anything(before in "[^0-9%]{0,12}", after in "[^0-9%]{0,12}") {
        // Within a longer hexadecimal identifier, eleven digits are no person.
        proptest::prop_assume!(!before.ends_with(|c: char| matches!(c, 'a'..='f')));
        proptest::prop_assume!(!after.starts_with(|c: char| matches!(c, 'a'..='f')));
        let text = format!("{before}{SYNTHETIC}{after}");
        proptest::prop_assert!(!personal_numbers(&text).contains(SYNTHETIC));
    }
}
