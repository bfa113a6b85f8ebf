//! What is told of keys: inspection, warnings, certificates.

use super::*;

fn inspected(name: &str, passwords: &Passwords) -> Inspection {
    inspect(&fixture(name), passwords).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn entry<'a>(inspection: &'a Inspection, alias: &str) -> &'a EntryInfo {
    inspection.entries.iter().find(|entry| entry.alias.as_deref() == Some(alias)).expect(alias)
}

#[test]
fn a_keystore_with_several_entries_is_listed_whole() {
    for (file, format) in [("several.jks", Format::Jks), ("several.p12", Format::Pkcs12)] {
        let inspection = inspected(file, &Passwords::one(PASSWORD));
        assert_eq!(inspection.format, format);
        assert_eq!(inspection.entries.len(), 4, "{file}");
        for (alias, usage, signing) in [
            ("sign", "digitalSignature", true),
            ("encrypt", "keyEncipherment, dataEncipherment", false),
            ("nonrep", "nonRepudiation", false),
        ] {
            let entry = entry(&inspection, alias);
            let certificate = entry.certificate.as_ref().unwrap();
            assert_eq!(entry.kind, EntryKind::PrivateKey);
            assert_eq!(entry.key_bits, Some(2048));
            assert_eq!(entry.opened, Some(true));
            assert_eq!(entry.problem, None);
            assert_eq!(entry.chain_length, 3);
            assert_eq!(entry.is_signing_key, signing, "{file} {alias}");
            assert_eq!(certificate.key_usage_text().as_deref(), Some(usage));
            assert_eq!(certificate.org_number.as_deref(), Some("991825827"));
            assert_eq!(certificate.issuer, "C=NO, O=Keystore Tests AS, CN=Keystore Test4 CA 3");
        }
        let trusted = entry(&inspection, "buypass-ca");
        assert_eq!(trusted.kind, EntryKind::TrustedCertificate);
        assert_eq!((trusted.opened, trusted.is_signing_key, trusted.chain_length), (None, false, 1));
        assert!(trusted.certificate.as_ref().unwrap().self_signed);
    }
}

#[test]
fn a_jks_is_listed_without_a_password_and_a_pkcs12_is_not() {
    let inspection = inspected("one.jks", &Passwords::default());
    let only = &inspection.entries[0];
    assert_eq!(only.opened, Some(false));
    assert!(only.problem.as_ref().unwrap().contains("a password is needed"));
    assert_eq!((only.chain_length, only.key_bits), (3, Some(2048)));
    let error = inspect(&fixture("aes.p12"), &Passwords::default()).unwrap_err();
    assert!(matches!(*error.fault, Fault::PasswordMissing(Format::Pkcs12)));
}

#[test]
fn what_is_wrong_with_a_key_stands_in_its_entry() {
    let problem = |file: &str| {
        let inspection = inspected(file, &Passwords::one(PASSWORD));
        let entry = inspection.entries[0].clone();
        (entry.opened, entry.problem.unwrap_or_default())
    };
    let (opened, text) = problem("key-password.jks");
    assert_eq!(opened, Some(false));
    assert!(text.contains("does not open with the keystore's password"));
    let (opened, text) = problem("ec.p12");
    assert_eq!(opened, Some(true));
    assert!(text.contains("of the type EC"));
    assert!(problem("legacy-encrypted.pem").1.contains("Proc-Type"));
    assert_eq!(problem("key-only.pem"), (Some(true), String::new()));
}

#[test]
fn certificates_of_no_entry_are_listed_apart() {
    let inspection = inspected("odd-order.p12", &Passwords::one(PASSWORD));
    assert_eq!(inspection.entries[0].chain_length, 3);
    let others: Vec<_> = inspection.other_certificates.iter().map(|c| c.org_number.as_deref()).collect();
    assert_eq!(others, [Some("910753614")]);
}

#[test]
fn a_secret_key_is_seen_and_the_rest_too() {
    let inspection = inspected("two-signing.p12", &Passwords::one(PASSWORD));
    assert_eq!(entry(&inspection, "secret").kind, EntryKind::SecretKey);
    assert!(entry(&inspection, "first").is_signing_key && entry(&inspection, "second").is_signing_key);
}

#[test]
fn the_json_of_an_inspection() {
    let inspection = inspected("aes.p12", &Passwords::one(PASSWORD));
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["format"], "PKCS#12");
    let entry = &json["entries"][0];
    assert_eq!(entry["alias"], "virksomhet");
    assert_eq!(entry["kind"], "private_key");
    assert_eq!(entry["certificate"]["key_usage"], serde_json::json!(["digitalSignature"]));
    assert_eq!(entry["certificate"]["fingerprint"].as_str().unwrap().len(), 64);
    let not_after = entry["certificate"]["not_after"].as_str().unwrap();
    assert!(not_after.ends_with('Z') && not_after.len() == 20, "{not_after}");
}

#[test]
fn the_organisation_number_is_found_in_both_profiles() {
    let subject = |file| {
        let key = load(&source(file), &Passwords::one(PASSWORD)).unwrap();
        key.certificate().unwrap().clone()
    };
    let old = subject("legacy.p12");
    assert_eq!(old.org_number.as_deref(), Some("991825827"));
    assert_eq!(
        old.subject,
        "C=NO, O=TESTVIRKSOMHET Å ÆRE AS, serialNumber=991825827, CN=TESTVIRKSOMHET Å ÆRE AS"
    );
    let new = subject("aes.p12");
    assert_eq!(new.org_number.as_deref(), Some("991825827"));
    assert!(new.subject.contains("organizationIdentifier=NTRNO-991825827"), "{}", new.subject);
    assert_eq!(new.serial, "0123abcd");
    assert!(!new.self_signed);
}

fn warnings(file: &str, now: SystemTime) -> Vec<String> {
    let key = load(&source(file), &Passwords::one(PASSWORD)).unwrap();
    key.warnings(now).iter().map(KeyWarning::to_string).collect()
}

#[test]
fn a_certificate_that_ends_within_thirty_days_is_warned_of() {
    let key = load(&source("aes.p12"), &Passwords::one(PASSWORD)).unwrap();
    let not_after = key.certificate().unwrap().not_after;
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    assert_eq!(warnings("aes.p12", not_after - days(31)), [""; 0]);
    let [warning] = &warnings("aes.p12", not_after - days(30))[..] else { panic!("one warning") };
    assert!(warning.contains("in 30 days"), "{warning}");
    // It loaded while it was valid, and the proxy has been running since.
    let [warning] = &warnings("aes.p12", not_after + days(1))[..] else { panic!("one warning") };
    assert!(warning.contains(" ended on "), "{warning}");
}

#[test]
fn keys_that_will_be_refused_are_warned_of() {
    let [warning] = &warnings("nonrep.pem", now())[..] else { panic!("one warning") };
    assert!(warning.contains("key usage is nonRepudiation, without digitalSignature"), "{warning}");
    let [warning] = &warnings("self-signed.pem", now())[..] else { panic!("one warning") };
    assert!(warning.contains("self-signed"), "{warning}");
    let alone = KeySource { certificate: Some(path("leaf.der")), ..source("key-only.pem") };
    let key = load(&alone, &Passwords::default()).unwrap();
    assert!(matches!(key.warnings(now())[..], [KeyWarning::ChainIncomplete { .. }]));
}
