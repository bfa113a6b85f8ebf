//! Keys in text of unknown origin: an error, never a panic, a long wait or a large allocation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::keys::pem;

#[path = "../common/keys.rs"]
mod keys;

fuzz_target!(|text: &str| {
    let _ = pem::parse(text);
    keys::load(text.as_bytes());
});
