//! The folder that the authority lives in: made, loaded, replaced.

use super::*;

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
