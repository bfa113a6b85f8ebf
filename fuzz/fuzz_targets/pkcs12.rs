//! Keystores of unknown origin: an error, never a panic, a long wait or a large allocation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::keys::pkcs12;

#[path = "../common/keys.rs"]
mod keys;

fuzz_target!(|bytes: &[u8]| {
    for password in [None, Some(""), Some(keys::PASSWORD)] {
        let _ = pkcs12::parse(bytes, password);
    }
    keys::load(bytes);
});
