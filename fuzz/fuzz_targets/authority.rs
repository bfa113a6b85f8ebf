//! An authority is read the same way however often it is written and read again, and holds
//! nothing that could lead elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::authority::{Authority, Host};

fuzz_target!(|text: &str| {
    let Ok(authority) = text.parse::<Authority>() else { return };
    let written = authority.to_string();
    assert_eq!(written.parse::<Authority>().as_ref(), Ok(&authority), "{text:?}");
    assert!(!written.contains(['@', '/', '\\', '?', '#', '%', ' ', '\r', '\n', '\0']), "{text:?}");
    assert!(written.is_ascii());
    if authority.host().is_loopback() {
        let lower = text.to_ascii_lowercase();
        let host = lower.rsplit_once(':').map_or(lower.as_str(), |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { &lower }
        });
        match authority.host() {
            Host::Name(_) => assert!(host == "localhost" || host.ends_with(".localhost"), "{text:?}"),
            Host::V4(_) => assert!(host.starts_with("127.") && host.split('.').count() == 4, "{text:?}"),
            Host::V6(_) => assert!(host.starts_with('[') && host.ends_with(']'), "{text:?}"),
        }
    }
});
