//! What the program does with the bytes of a key file.

use std::time::{Duration, SystemTime};

use maskinporten_proxy::keys::{Passwords, Selection, SigningKey, inspect};

/// That of the keystores in tests/keystores.
pub const PASSWORD: &str = "changeit";

pub fn load(bytes: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for passwords in [Passwords::one(PASSWORD), Passwords::default()] {
        let _ = inspect(bytes, &passwords);
        if let Err(error) = SigningKey::from_bytes(bytes, &Selection::default(), &passwords, now) {
            assert!(!error.to_string().is_empty());
            assert!(!error.to_string().contains(PASSWORD));
        }
    }
}
