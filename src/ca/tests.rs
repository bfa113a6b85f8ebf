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

/// A leaf that the CA's key signs without any check of ours, as a thief would.
fn forged(ca: &Ca, names: Vec<SanType>, common_name: Option<&str>) -> CertificateDer<'static> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let mut params =
        leaf_params(names, now - time::Duration::hours(1), now + time::Duration::days(1)).unwrap();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.signed_by(&P256Key::generate().unwrap(), &ca.issuer).unwrap().into()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

/// Whether webpki takes `leaf` for `server`, trusting the root alone.
fn webpki(ca: &Ca, leaf: &CertificateDer<'_>, server: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let server = ServerName::try_from(server.to_owned()).unwrap();
    verifier
        .verify_server_cert(leaf, std::slice::from_ref(&ca.intermediate), &server, &[], UnixTime::now())
        .map(|_| ())
}

/// What `openssl verify` says; `Err` holds its complaint.
#[cfg(target_os = "linux")]
fn openssl(ca: &Ca, leaf: &CertificateDer<'_>) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let leaf_path = scratch.path().join("leaf.der");
    fs::write(&leaf_path, leaf).unwrap();
    let output = std::process::Command::new("openssl")
        .args(["verify", "-purpose", "sslserver", "-x509_strict", "-no-CApath", "-CAfile"])
        .arg(ca.root_pem_path())
        .arg("-untrusted")
        .arg(ca.dir.join(store::INTERMEDIATE))
        .arg(&leaf_path)
        .output()
        .expect("the openssl command is there");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[track_caller]
fn assert_refused(ca: &Ca, leaf: &CertificateDer<'_>, server: &str) {
    let error = webpki(ca, leaf, server).expect_err("webpki takes it");
    assert!(format!("{error:?}").contains("NameConstraintViolation"), "webpki: {error:?}");
    #[cfg(target_os = "linux")]
    {
        let error = openssl(ca, leaf).expect_err("openssl takes it");
        assert!(error.contains("subtree violation"), "{error}");
    }
}

#[track_caller]
fn assert_taken(ca: &Ca, text: &str) {
    let leaf = Leaf::issue(ca, &host(text), SystemTime::now()).unwrap().certificate.into();
    webpki(ca, &leaf, &host(text).to_unbracketed()).unwrap();
    #[cfg(target_os = "linux")]
    openssl(ca, &leaf).unwrap();
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
fn verifiers_take_leaves_for_routed_hosts() {
    let hosts = ["api.test.samarbeid.digdir.no", "localhost", "no.example", "sub.no.example"];
    let (_temp, ca) = made(&hosts);
    hosts.iter().for_each(|host| assert_taken(&ca, host));
    let (_temp, ca) = made(&["api.example.no", "10.0.0.1", "[::1]"]);
    ["api.example.no", "10.0.0.1", "[::1]"].iter().for_each(|host| assert_taken(&ca, host));
    let (_temp, ca) = made(&["127.0.0.1"]);
    assert_taken(&ca, "127.0.0.1");
    let (_temp, ca) = made(&["[2001:db8::7]"]);
    assert_taken(&ca, "[2001:db8::7]");
}

#[test]
fn verifiers_refuse_what_a_thief_signs_for_other_names() {
    let (_temp, ca) = made(&["api.example.no"]);
    // The positive control: forged in the same way, for the routed name.
    let fair = forged(&ca, vec![dns("api.example.no")], None);
    webpki(&ca, &fair, "api.example.no").unwrap();
    #[cfg(target_os = "linux")]
    openssl(&ca, &fair).unwrap();

    for name in ["maskinporten.no", "example.no", "xapi.example.no", "sub.api.example.no", "localhost"] {
        assert_refused(&ca, &forged(&ca, vec![dns(name)], None), name);
        assert_refused(&ca, &forged(&ca, vec![dns("api.example.no"), dns(name)], None), name);
    }
    assert_refused(&ca, &forged(&ca, vec![dns("*.api.example.no")], None), "sub.api.example.no");
    assert_refused(&ca, &forged(&ca, vec![dns("*.example.no")], None), "www.example.no");
}

#[test]
fn verifiers_refuse_addresses_where_no_upstream_is_one() {
    let (_temp, ca) = made(&["api.example.no"]);
    for address in ["127.0.0.1", "10.0.0.1", "::1", "fe80::1"] {
        assert_refused(&ca, &forged(&ca, vec![ip(address)], None), address);
        assert_refused(&ca, &forged(&ca, vec![dns("api.example.no"), ip(address)], None), address);
    }
}

#[test]
fn verifiers_refuse_other_addresses_and_names_beside_a_routed_address() {
    let (_temp, ca) = made(&["10.0.0.1"]);
    for address in ["10.0.0.2", "127.0.0.1", "::1", "::ffff:10.0.0.1"] {
        assert_refused(&ca, &forged(&ca, vec![ip(address)], None), address);
    }
    assert_refused(&ca, &forged(&ca, vec![dns("example.no")], None), "example.no");
}

#[test]
fn a_common_name_is_no_way_around_the_constraints() {
    let (_temp, ca) = made(&["api.example.no"]);
    let unnamed = forged(&ca, Vec::new(), Some("maskinporten.no"));
    assert!(webpki(&ca, &unnamed, "maskinporten.no").is_err());
    #[cfg(target_os = "linux")]
    assert!(openssl(&ca, &unnamed).unwrap_err().contains("subtree violation"));
    let named = forged(&ca, vec![dns("api.example.no")], Some("maskinporten.no"));
    assert!(webpki(&ca, &named, "maskinporten.no").is_err());
}

#[test]
fn verifiers_refuse_a_further_authority_and_another_purpose() {
    let (_temp, ca) = made(&["api.example.no"]);
    let now = OffsetDateTime::now_utc();
    let params = || leaf_params(vec![dns("api.example.no")], now, now + time::Duration::days(1)).unwrap();

    let mut below = params();
    below.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    below.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let key = P256Key::generate().unwrap();
    let authority = below.signed_by(&key, &ca.issuer).unwrap();
    let issuer = Issuer::from_params(&below, &key);
    let leaf: CertificateDer<'_> = params().signed_by(&P256Key::generate().unwrap(), &issuer).unwrap().into();
    let mut roots = RootCertStore::empty();
    roots.add(ca.root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain = [CertificateDer::from(authority), ca.intermediate.clone()];
    let server = ServerName::try_from("api.example.no").unwrap();
    assert!(verifier.verify_server_cert(&leaf, &chain, &server, &[], UnixTime::now()).is_err());

    let (_, intermediate) = X509Certificate::from_der(&ca.intermediate).unwrap();
    let usage = intermediate.extended_key_usage().unwrap().expect("it is limited to a purpose").value;
    assert!(usage.server_auth && !usage.any && !usage.client_auth && !usage.code_signing);
    assert!(!usage.email_protection && !usage.time_stamping && !usage.ocsp_signing && usage.other.is_empty());
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

#[cfg(unix)]
#[test]
fn the_folder_and_the_key_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (_temp, ca) = made(&["api.example.no"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ca.dir), 0o700);
    assert_eq!(mode(&ca.dir.join(store::KEY)), 0o600);
    let routed = names(&["api.example.no"]);
    assert_eq!(ca.warnings(&routed, SystemTime::now()), [""; 0]);

    fs::set_permissions(ca.dir.join(store::KEY), PermissionsExt::from_mode(0o640)).unwrap();
    let warnings = ca.warnings(&routed, SystemTime::now());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("intermediate.key (mode") || warnings[0].contains("mode 640"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn the_roots_key_is_nowhere() {
    let (temp, ca) = made(&["api.example.no"]);
    let files = content(&ca.dir);
    assert_eq!(files.keys().collect::<Vec<_>>(), [store::KEY, store::INTERMEDIATE, store::ROOT]);
    let keys = files.values().filter(|file| file.windows(11).any(|part| part == b"PRIVATE KEY")).count();
    assert_eq!(keys, 1);
    // That one key is the intermediate's, and not the root's too.
    let (_, root) = X509Certificate::from_der(&ca.root).unwrap();
    assert_ne!(&*root.public_key().subject_public_key.data, ca.issuer.key().public_key());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "a file was left beside the folder");
}

#[test]
fn a_second_init_changes_nothing() {
    let (_temp, ca) = made(&["api.example.no"]);
    let before = content(&ca.dir);
    let error = init(&ca.dir, &names(&["other.example"]), false, SystemTime::now()).unwrap_err();
    assert!(matches!(&error, CaError::Exists { dir } if *dir == ca.dir), "{error}");
    assert_eq!(content(&ca.dir), before);
}

#[test]
fn a_forced_init_replaces_the_whole_and_leaves_nothing_beside() {
    let (temp, old) = made(&["api.example.no"]);
    let before = content(&old.dir);
    let created = init(&old.dir, &names(&["other.example"]), true, SystemTime::now()).unwrap();
    assert!(created.replaced);
    assert!(created.ca.covers(&host("other.example")) && !created.ca.covers(&host("api.example.no")));
    let after = content(&old.dir);
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|(name, file)| after[name] != *file));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "a file was left beside the folder");
}

#[test]
fn files_of_others_are_never_deleted() {
    let (_temp, ca) = made(&["api.example.no"]);
    fs::write(ca.dir.join("truststore.p12"), "mine").unwrap();
    let before = content(&ca.dir);
    let error = init(&ca.dir, &names(&["a.example"]), true, SystemTime::now()).unwrap_err();
    assert!(matches!(&error, CaError::Foreign { entry, .. } if entry == "truststore.p12"), "{error}");
    assert_eq!(content(&ca.dir), before);

    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("diary"), "mine").unwrap();
    let error = init(home.path(), &names(&["a.example"]), true, SystemTime::now()).unwrap_err();
    assert!(matches!(error, CaError::Foreign { .. }), "{error}");
}

#[test]
fn an_empty_folder_and_missing_parents_will_do() {
    let temp = tempfile::tempdir().unwrap();
    init(temp.path(), &names(&["a.example"]), false, SystemTime::now()).unwrap();
    let deep = tempfile::tempdir().unwrap();
    let created =
        init(&deep.path().join("not/there/yet"), &names(&["a.example"]), false, SystemTime::now()).unwrap();
    assert!(!created.replaced);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_to_the_folder_stays_one() {
    let (temp, ca) = made(&["a.example"]);
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&ca.dir, &link).unwrap();
    let created = init(&link, &names(&["b.example"]), true, SystemTime::now()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(created.ca.dir, fs::canonicalize(&ca.dir).unwrap());
    assert!(Ca::load(&ca.dir).unwrap().covers(&host("b.example")));
}

#[test]
fn only_one_of_several_inits_at_once_succeeds() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("ca");
    let routed = names(&["a.example"]);
    let done = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| init(&dir, &routed, false, SystemTime::now()))).collect();
        let results: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, CaError::Exists { .. }), "{error}");
        }
        results.iter().filter(|result| result.is_ok()).count()
    });
    assert_eq!(done, 1);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "a loser left its folder behind");
}

#[test]
fn no_names_no_authority() {
    let temp = tempfile::tempdir().unwrap();
    let error = init(&temp.path().join("ca"), &names(&[]), false, SystemTime::now()).unwrap_err();
    assert!(matches!(error, CaError::NoNames));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn loading_tells_what_is_wrong() {
    let temp = tempfile::tempdir().unwrap();
    assert!(matches!(Ca::load(&temp.path().join("ca")), Err(CaError::Missing { .. })));

    let ((_a, one), (_b, other)) = (made(&["a.example"]), made(&["a.example"]));
    let file = |ca: &Ca, name| fs::read(ca.dir.join(name)).unwrap();
    let (root, key) = (file(&one, store::ROOT), file(&one, store::KEY));

    fs::write(one.dir.join(store::KEY), file(&other, store::KEY)).unwrap();
    assert!(matches!(Ca::load(&one.dir), Err(CaError::KeyMismatch { .. })));
    fs::write(one.dir.join(store::KEY), "not a key").unwrap();
    assert!(matches!(Ca::load(&one.dir), Err(CaError::Damaged { .. })));
    fs::write(one.dir.join(store::KEY), key).unwrap();
    fs::write(one.dir.join(store::ROOT), file(&other, store::ROOT)).unwrap();
    assert!(matches!(Ca::load(&one.dir), Err(CaError::NotOfRoot { .. })));
    fs::write(one.dir.join(store::ROOT), root).unwrap();
    Ca::load(&one.dir).unwrap();
    fs::remove_file(one.dir.join(store::INTERMEDIATE)).unwrap();
    assert!(matches!(Ca::load(&one.dir), Err(CaError::Io { .. })));
}

#[test]
fn an_authority_that_could_vouch_for_others_is_refused() {
    type Change = fn(&mut rcgen::NameConstraints);
    let changes: [Change; 3] = [
        |constraints| constraints.excluded_subtrees.clear(),
        |constraints| constraints.permitted_subtrees.clear(),
        |constraints| {
            let network = rcgen::CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]);
            constraints.permitted_subtrees.push(rcgen::GeneralSubtree::IpAddress(network));
        },
    ];
    let certify = |constraints| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        params.name_constraints = constraints;
        CertificateDer::from(params.self_signed(&P256Key::generate().unwrap()).unwrap())
    };
    let sound = || constraints::permitting(&names(&["a.example"]));
    let path = Path::new("root.pem");
    assert!(constraints::examine(&certify(Some(sound())), path).is_ok());
    assert!(matches!(constraints::examine(&certify(None), path), Err(CaError::Unconstrained { .. })));
    for change in changes {
        let mut constraints = sound();
        change(&mut constraints);
        let der = certify(Some(constraints));
        assert!(matches!(constraints::examine(&der, path), Err(CaError::Unconstrained { .. })));
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
fn leaves_live_for_a_week_at_most_and_never_beyond_the_authority() {
    let (_temp, ca) = made(&["a.example"]);
    let now = SystemTime::now();
    for at in [now, now + 100 * DAY, now + 728 * DAY] {
        let leaf = Leaf::issue(&ca, &host("a.example"), at).unwrap();
        let (_, certificate) = X509Certificate::from_der(leaf.certificate.der()).unwrap();
        let validity = certificate.validity();
        let (start, end) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        assert!(end - start <= time::Duration::days(7));
        assert!(start <= at && start >= OffsetDateTime::from(at) - time::Duration::days(1));
        assert!(end > at && start >= ca.not_before && end <= ca.not_after);
    }
    let expired = Leaf::issue(&ca, &host("a.example"), now + 731 * DAY);
    assert!(matches!(expired, Err(CaError::Expired { .. })));
    let early = Leaf::issue(&ca, &host("a.example"), now - 2 * DAY);
    assert!(matches!(early, Err(CaError::NotYetValid { .. })));
}

fn leaves(hosts: &[&str], capacity: usize) -> (tempfile::TempDir, Clock, Leaves) {
    let (temp, ca) = made(hosts);
    let clock = Clock::manual(SystemTime::now());
    let leaves = Leaves::new(Arc::new(ca), NonZeroUsize::new(capacity).unwrap(), clock.clone());
    (temp, clock, leaves)
}

#[test]
fn a_leaf_is_kept_and_made_anew_before_its_end() {
    let (_temp, clock, leaves) = leaves(&["a.example"], 8);
    let first = leaves.config_for(&host("a.example")).unwrap();
    clock.advance(5 * DAY);
    assert!(Arc::ptr_eq(&first, &leaves.config_for(&host("A.example.")).unwrap()));
    clock.advance(DAY);
    let second = leaves.config_for(&host("a.example")).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    // A clock that is set back makes the second one not valid yet.
    clock.set_wall(clock.wall() - 3 * DAY);
    assert!(!Arc::ptr_eq(&second, &leaves.config_for(&host("a.example")).unwrap()));
}

#[test]
fn the_least_recently_used_leaf_goes_first() {
    let (_temp, _clock, leaves) = leaves(&["a.example", "b.example", "c.example"], 2);
    let a = leaves.config_for(&host("a.example")).unwrap();
    let b = leaves.config_for(&host("b.example")).unwrap();
    leaves.config_for(&host("a.example")).unwrap();
    leaves.config_for(&host("c.example")).unwrap();
    assert!(Arc::ptr_eq(&a, &leaves.config_for(&host("a.example")).unwrap()));
    assert!(!Arc::ptr_eq(&b, &leaves.config_for(&host("b.example")).unwrap()));
}

#[test]
fn no_leaf_for_a_host_outside_the_constraints() {
    let (_temp, _clock, leaves) = leaves(&["a.example"], 8);
    for other in ["b.example", "x.a.example", "127.0.0.1"] {
        let error = leaves.config_for(&host(other)).unwrap_err();
        assert!(matches!(error, CaError::NotCovered { .. }), "{error}");
    }
}

#[test]
fn threads_that_ask_at_once_share_one_leaf() {
    let (_temp, _clock, leaves) = leaves(&["a.example"], 8);
    let configs: Vec<_> = std::thread::scope(|scope| {
        let askers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| leaves.config_for(&host("a.example")).unwrap())).collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).collect()
    });
    assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
}

#[test]
fn a_client_that_trusts_the_root_shakes_hands_and_no_other() {
    let (_temp, _clock, leaves) = leaves(&["a.example", "10.0.0.1"], 8);
    let ca = leaves.ca().clone();
    for (text, server) in [("a.example", "a.example"), ("10.0.0.1", "10.0.0.1")] {
        let config = leaves.config_for(&host(text)).unwrap();
        assert_eq!(shake(&config, &ca.root, server).unwrap(), Some(b"h2".to_vec()));
    }
    let config = leaves.config_for(&host("a.example")).unwrap();
    assert!(shake(&config, &ca.root, "10.0.0.1").is_err());
    let (_other_temp, other) = made(&["a.example"]);
    assert!(shake(&config, &other.root, "a.example").is_err());
}

/// A TLS handshake in memory; the protocol that was agreed on.
fn shake(
    server: &Arc<rustls::ServerConfig>,
    root: &CertificateDer<'static>,
    name: &str,
) -> Result<Option<Vec<u8>>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    client.writer().write_all(b"ping").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut heard = [0; 4];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
    Ok(client.alpn_protocol().map(<[u8]>::to_vec))
}

#[test]
fn leaves_have_keys_of_their_own() {
    let (_temp, ca) = made(&["a.example"]);
    let issue = || Leaf::issue(&ca, &host("a.example"), SystemTime::now()).unwrap();
    let (first, second) = (issue(), issue());
    assert_ne!(first.key, second.key);
    let files = content(&ca.dir);
    let ours = PrivatePkcs8KeyDer::from(first.key.expose().as_slice());
    assert_ne!(
        P256Key::from_pkcs8(ours.secret_pkcs8_der()).unwrap().public_key(),
        ca.issuer.key().public_key()
    );
    assert_eq!(files.len(), 3, "a leaf was written");
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
