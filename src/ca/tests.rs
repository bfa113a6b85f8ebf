//! The judges here are webpki (by rustls) and the `openssl` command, not this module.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::sync::Arc;

use rcgen::{DnType, SanType};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Clock;

use super::certificate::{Leaf, leaf_params};
use super::*;

mod folder;
mod leaves;
mod verifiers;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn names(hosts: &[&str]) -> RoutedNames {
    hosts.iter().map(|host| host.parse().expect("a host")).collect()
}

fn host(text: &str) -> Host {
    text.parse().expect("a host")
}

/// A CA in a temporary folder, made now.
fn made(hosts: &[&str]) -> (tempfile::TempDir, Ca) {
    let temp = tempfile::tempdir().unwrap();
    let ca = init(&temp.path().join("ca"), &names(hosts), false, SystemTime::now()).unwrap().ca;
    (temp, ca)
}

/// Every file below `dir`, by name.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn both_authorities_are_constrained_and_marked_as_they_should_be() {
    let (_temp, ca) = made(&["api.example.no"]);
    for (der, path_length) in [(&ca.root, 1), (&ca.intermediate, 0)] {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        let constraints = certificate.name_constraints().unwrap().expect("name constraints");
        assert!(constraints.critical);
        let basic = certificate.basic_constraints().unwrap().expect("basic constraints");
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, Some(path_length));
        let usage = certificate.key_usage().unwrap().expect("key usage");
        assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
        assert!(certificate.raw_serial().len() <= 20);
        assert!(certificate.raw_serial()[0] < 0x80);
        let life = ca.not_after - ca.not_before;
        assert!(life <= time::Duration::days(2 * 365 + 1), "{life}");
    }
}

#[test]
fn serial_numbers_and_names_differ_from_one_authority_to_the_next() {
    let ((_a, first), (_b, second)) = (made(&["a.example"]), made(&["a.example"]));
    let parse = |der| X509Certificate::from_der(der).unwrap().1;
    let der = [&first.root, &first.intermediate, &second.root, &second.intermediate];
    let certificates: Vec<_> = der.into_iter().map(|der| parse(der)).collect();
    for (at, one) in certificates.iter().enumerate() {
        for other in &certificates[at + 1..] {
            assert_ne!(one.raw_serial(), other.raw_serial());
            assert_ne!(one.subject(), other.subject());
        }
    }
}

#[test]
fn knows_which_hosts_it_covers() {
    let (_temp, ca) = made(&["API.example.no", "dotted.example.", "10.0.0.1", "[2001:db8::7]"]);
    let routed = names(&["api.example.no", "dotted.example", "10.0.0.1", "[2001:db8::7]"]);
    assert_eq!(*ca.names(), routed);
    assert!(ca.covers(&host("api.example.no.")) && ca.covers(&host("dotted.example")));
    for other in ["example.no", "x.api.example.no", "10.0.0.2", "[2001:db8::8]", "invalid"] {
        assert!(!ca.covers(&host(other)), "{other}");
    }
    let (_temp, ca) = made(&["10.0.0.1"]);
    assert_eq!(*ca.names(), names(&["10.0.0.1"]));
}

#[test]
fn changed_routes_and_a_near_end_are_warned_of() {
    let (_temp, ca) = made(&["old.example", "kept.example"]);
    let now = SystemTime::now();
    let routed = names(&["kept.example", "new.example"]);
    assert_eq!(ca.missing(&routed), [host("new.example")]);
    let warnings = ca.warnings(&routed, now);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("new.example") && warnings[0].contains("ca init --force"), "{warnings:?}");
    assert!(warnings[1].contains("old.example"), "{warnings:?}");

    let routed = names(&["kept.example", "old.example"]);
    assert_eq!(ca.warnings(&routed, now + 690 * DAY), [""; 0]);
    assert!(ca.warnings(&routed, now + 710 * DAY)[0].contains("ends on"));
    assert!(ca.warnings(&routed, now + 731 * DAY)[0].contains("ended on"));
    assert!(ca.warnings(&routed, now - 2 * DAY)[0].contains("valid only from"));
}

#[test]
fn shows_the_fingerprint_and_how_to_trust() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("it's a folder");
    let ca = init(&dir, &names(&["a.example", "10.0.0.1"]), false, SystemTime::now()).unwrap().ca;
    let shown = ca.show();
    assert_eq!(shown.fingerprint.len(), 32 * 3 - 1);
    assert!(shown.root_pem.is_absolute() && shown.root_pem.ends_with("root.pem"));
    let text = shown.to_string();
    let (_, root) = X509Certificate::from_der(&ca.root).unwrap();
    let name = root.subject().iter_common_name().next().unwrap().as_str().unwrap();
    assert!(text.contains(&format!("-delstore Root \"{name}\"")), "{text}");
    assert!(text.contains("a.example, 10.0.0.1"), "{text}");
    assert!(text.contains(r"it'\''s a folder/root.pem'"), "{text}");
    for client in ["Postman", "curl", "Node", "Java", "Python", ".NET", "Windows", "macOS", "Firefox"] {
        assert!(text.contains(client), "{client} is missing");
    }
    #[cfg(target_os = "linux")]
    {
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&shown.root_pem)
            .output()
            .expect("the openssl command is there");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.trim_end().ends_with(&shown.fingerprint), "{said}");
    }
}

#[test]
fn the_default_folder_stands_beside_the_configuration() {
    assert_eq!(default_dir(Path::new("/etc/mp")), Path::new("/etc/mp/maskinporten-proxy-ca"));
}

#[test]
fn debug_output_holds_no_key() {
    let (_temp, ca) = made(&["a.example"]);
    let text = format!("{ca:?}");
    assert!(text.contains("a.example") && !text.contains("key"), "{text}");
}
