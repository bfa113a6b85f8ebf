//! Every fixture of `tests/keystores`, loaded or refused.

mod hostile;
mod loading;
mod refusing;
mod seeing;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::config::{Algorithm, KeyMaterial, KeySource};

const PASSWORD: &str = "changeit";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// 1 June 2030, in the middle of the fixtures' lives.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_906_502_400)
}

fn source(name: &str) -> KeySource {
    KeySource {
        material: KeyMaterial::File(path(name)),
        certificate: None,
        alias: None,
        password: None,
        key_password: None,
        algorithm: Algorithm::Rs256,
        kid: None,
    }
}

fn load(source: &KeySource, passwords: &Passwords) -> Result<SigningKey, KeyError> {
    SigningKey::load(source, passwords, now())
}
