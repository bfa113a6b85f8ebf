use serde_json::json;

use super::*;

#[test]
fn whatever_looks_like_a_token_is_left_out() {
    let grant = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl";
    let text = format!("Invalid assertion: {grant} for 17018900123,\r\nsee eyJ and \"{grant}\"");
    let shown = scrub(&text, &["17018900123", ""]);
    assert_eq!(shown, "Invalid assertion: *** for ***,  see eyJ and \"***\"");
    assert_eq!(scrub("token=opaque-grant!", &["opaque-grant"]), "token=***!");
}

#[test]
fn long_texts_are_cut_between_characters() {
    let shown = scrub(&"ø".repeat(2000), &[]);
    assert_eq!(shown.chars().count(), 501);
    assert!(shown.ends_with('…'));
}

#[test]
fn a_refusal_becomes_the_member_of_a_problem_document() {
    let description = "no such client (MP-100)";
    let refusal = MaskinportenError {
        status: 400,
        error: "invalid_client".into(),
        error_description: Some(description.into()),
        error_uri: None,
        entry: mp::lookup(description),
    };
    let problem = refusal.to_problem(Language::English);
    assert_eq!(problem["error"], "invalid_client");
    assert_eq!(problem["error_description"], description);
    assert_eq!(problem["code"], "MP-100");
    assert!(problem["fix"].as_str().is_some_and(|fix| fix.contains("client_id")));
    assert!(!problem.contains_key("error_uri"));

    let unknown =
        MaskinportenError { error_description: Some("new (MP-999)".into()), entry: None, ..refusal };
    let problem = serde_json::Value::Object(unknown.to_problem(Language::Norwegian));
    assert_eq!(
        problem,
        json!({"error": "invalid_client", "error_description": "new (MP-999)", "code": "MP-999"})
    );
    assert_eq!(unknown.class(), Class::Permanent, "what nobody knows is not hammered");
    let busy = MaskinportenError { error: "temporarily_unavailable".into(), ..unknown };
    assert_eq!(busy.class(), Class::Transient);
}

#[test]
fn a_code_that_stands_in_the_address_of_its_explanation_alone_is_told() {
    let refusal = |description: &str, uri: Option<&str>| MaskinportenError {
        status: 400,
        error: "invalid_grant".to_owned(),
        error_description: Some(description.to_owned()),
        error_uri: uri.map(str::to_owned),
        entry: [Some(description), uri].into_iter().flatten().find_map(mp::lookup),
    };
    let plain = refusal("Client not found.", Some("https://maskinporten.no/errors/MP-100"));
    assert_eq!(plain.code(), Some("MP-100"));
    assert_eq!(plain.to_string(), "invalid_grant: Client not found. [MP-100]");
    let named = refusal("Unknown type (MP-301).", Some("https://maskinporten.no/errors/MP-301"));
    assert_eq!(named.to_string(), "invalid_grant: Unknown type (MP-301).");
    let new = refusal("Something new.", Some("https://maskinporten.no/errors/MP-999"));
    assert_eq!((new.entry, new.code()), (None, Some("MP-999")), "no row, but a code to search for");
    assert_eq!(refusal("Something else.", None).to_string(), "invalid_grant: Something else.");
}
