//! The target of a CONNECT is an authority with a port, and the same one everywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::authority::Authority;
use maskinporten_proxy::guard::connect_target;

fuzz_target!(|text: &str| {
    let parsed = text.parse::<Authority>();
    match connect_target(text) {
        Ok(authority) => {
            assert!(authority.port().is_some(), "{text:?}");
            assert_eq!(parsed, Ok(authority), "{text:?}");
        }
        Err(_) => assert!(parsed.is_err() || parsed.is_ok_and(|parsed| parsed.port().is_none()), "{text:?}"),
    }
});
