//! Leaves: how long they live, and who shares them.

use super::*;

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
