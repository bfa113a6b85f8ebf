//! Files that were damaged or made to harm: an error, never a panic, a long wait or a large
//! allocation.

use proptest::prelude::*;

use super::*;

/// One of each form and protection; small ones, so that many cases run.
const FIXTURES: &[&str] = &[
    "one.jks",
    "several.jks",
    "aes.p12",
    "legacy.p12",
    "keytool.p12",
    "bouncycastle.p12",
    "unprotected.p12",
    "pkcs8.pem",
    "encrypted.pem",
    "encrypted-des3.pem",
    "encrypted.der",
    "encrypted-scrypt.pem",
    "pkcs8.der",
    "pkcs1.der",
    "leaf.der",
    "request.csr",
    "bundle.p7b",
    "kid.jwk",
    "x5c.jwk",
    "two.jwks",
];

/// All that is done with bytes of unknown origin.
fn try_everything(bytes: &[u8]) {
    for passwords in [Passwords::one(PASSWORD), Passwords::default()] {
        let _ = inspect(bytes, &passwords);
        if let Err(error) = SigningKey::from_bytes(bytes, &Selection::default(), &passwords, now()) {
            assert!(!error.to_string().is_empty());
            error.hint();
        }
    }
    let beside = Selection { certificate: Some(bytes), ..Selection::default() };
    let _ = SigningKey::from_bytes(&fixture("key-only.pem"), &beside, &Passwords::default(), now());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(
        name in proptest::sample::select(FIXTURES),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fixture(name);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        try_everything(&bytes);
    }

    #[test]
    fn cut_off_and_doubled(
        name in proptest::sample::select(FIXTURES),
        from in any::<proptest::sample::Index>(),
        to in any::<proptest::sample::Index>(),
    ) {
        let bytes = fixture(name);
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        try_everything(&bytes[..to]);
        try_everything(&[&bytes[..to], &bytes[from..]].concat());
    }

    #[test]
    fn arbitrary_bytes_after_a_true_beginning(
        name in proptest::sample::select(FIXTURES),
        kept in 0_usize..40,
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = fixture(name);
        try_everything(&[&bytes[..kept.min(bytes.len())], &tail].concat());
    }
}
