//! What `config show`, `Debug` and the reference say.

use super::schema::{Absent, KEYS};
use super::*;

const SECRETS: &str = r#"
listen = "127.0.0.1:0"
[clients.test]
environment = "test"
client_id = "id"
key = { file = "base64:aGVtbWVsaWc=", password = "hemmelig", key_password = { env = "KEY_PASSWORD" } }
[[routes]]
name = "api"
upstream = "https://api.example.no"
scopes = ["a:b"]
pid = "17847696494"
[[routes]]
name = "listed"
path = "/listed"
upstream = "https://api.example.no"
scopes = ["a:b"]
consumer_org = { header = "X-Org", allow = ["910753614"] }
pid = { header = "X-Pid", allow = ["17847696494"] }
authorization_details = [{ type = "t", from = "urn:altinn:person:identifier-no:17847696494" }]
[inbound]
password = { command = "pass show proxy" }
[upstream]
proxy = "http://me:hemmelig@proxy.example.no:3128"
"#;

#[test]
fn no_secret_is_ever_shown() {
    let loaded = Setup::empty().file("proxy.toml", SECRETS).loaded();
    let outputs = [show(&loaded), show_json(&loaded).to_string(), format!("{loaded:#?}")];
    for output in outputs {
        for secret in ["hemmelig", "aGVtbWVsaWc", "17847696494", "104, 101, 109"] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
        // The search would find what is there.
        assert!(output.contains("pass show proxy") && output.contains("KEY_PASSWORD"), "{output}");
    }
}

#[test]
fn a_person_s_number_under_the_wrong_key_is_not_repeated() {
    for value in ["17847696494", "\"17847696494\""] {
        let text = format!("{MINIMAL}\nconsumer_org = {value}");
        let error = Setup::empty().file("proxy.toml", &text).error();
        assert!(error.contains("routes[0].consumer_org: "), "{error}");
        assert!(!error.contains("17847696494"), "{error}");
    }
}

#[test]
fn every_value_is_shown_with_its_source() {
    let setup = Setup::empty()
        .file("proxy.toml", SECRETS)
        .env("MASKINPORTEN_PROXY_FORWARD__BROWSERS", "true")
        .flags(Overrides { admin: Some("off".to_owned()), threads: Some(2), ..Overrides::default() });
    let shown = show(&setup.loaded());
    assert_matches_file(&shown, &repository("src/config/tests/shown.expected"));

    let json = show_json(&setup.loaded());
    let settings = json["settings"].as_array().unwrap();
    let find = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(find("routes[1].pid")["value"]["allow"][0], "***");
    assert_eq!(find("listen")["source"], "proxy.toml:2");
    assert_eq!(find("upstream.connect_timeout")["value"], "5s");
    assert_eq!(find("upstream.connect_timeout")["source"], "default");
}

#[test]
fn what_is_shown_is_toml() {
    let shown = show(&Setup::empty().file("proxy.toml", SECRETS).loaded());
    let table: toml::Table = shown.parse().unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(table["routes"].as_array().unwrap().len(), 2);
    assert_eq!(table["clients"]["test"]["key"]["password"].as_str(), Some("***"));
}

/// The reference says what happens when a key is left out; this holds it to that.
#[test]
fn documented_defaults_are_the_effective_ones() {
    let loaded = Setup::minimal().loaded();
    let mut compared = 0;
    for key in KEYS {
        let Absent::Value(documented) = key.absent else { continue };
        let path = key.pattern.replace(".#", "[0]").replace('*', "test");
        let setting = loaded.settings.iter().find(|setting| setting.path() == path);
        let setting = setting.unwrap_or_else(|| panic!("{path} is not shown"));
        assert_eq!(setting.origin, Origin::Default, "{path}");
        let table: toml::Table = format!("value = {documented}").parse().unwrap();
        assert_eq!(serde_json::to_value(&table["value"]).unwrap(), setting.value, "{path}");
        compared += 1;
    }
    assert_eq!(compared, 10);
}

#[test]
fn required_keys_are_the_ones_that_are_missed() {
    let error = Setup::empty()
        .file("proxy.toml", "[clients.test]\nenvironment = \"test\"\n[clients.test.key]\n[[routes]]\n")
        .error();
    let missed = error.lines().filter(|line| line.contains("this is missing")).count();
    assert_eq!(missed, KEYS.iter().filter(|key| key.absent == Absent::Required).count(), "{error}");
}
