//! The strict reading of responses: the same in whatever pieces they come, and what is passed on
//! says what it holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::upstream::read_response;

fuzz_target!(|bytes: &[u8]| {
    for to_head in [false, true] {
        let whole = read_response(to_head, [bytes]);
        for size in [1, 3, 61] {
            assert_eq!(read_response(to_head, bytes.chunks(size)), whole, "in pieces of {size}");
        }
        let Ok(Some(response)) = whole else { continue };
        assert!(response.body.len() + response.behind <= bytes.len());
        assert!(!(to_head && !response.body.is_empty()));
        for (_, value) in response.headers.iter().chain(response.trailers.iter().flatten()) {
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        // Whoever reads it next must see the same end.
        let lengths: Vec<_> = response.headers.get_all("content-length").iter().collect();
        let coding = response.headers.get("transfer-encoding");
        assert!(lengths.len() <= 1 && (lengths.is_empty() || coding.is_none()));
        if let Some(length) = lengths.first() {
            let length: u64 = length.to_str().expect("digits").parse().expect("a number");
            assert!(response.body.is_empty() || response.body.len() as u64 == length);
        }
        if response.persists && lengths.is_empty() {
            assert!(coding.is_some() || response.body.is_empty());
        }
    }
});
