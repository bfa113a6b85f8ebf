//! Who takes what the authority, or a thief with its key, has signed.

use super::*;

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
