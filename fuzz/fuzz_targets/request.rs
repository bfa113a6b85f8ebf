//! The strict reading of requests: the same in whatever pieces they come, and never laxer than
//! another parser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::net::{measure_chunked, measure_head};

fuzz_target!(|bytes: &[u8]| {
    let whole = measure_head([bytes]);
    for size in [1, 3, 61] {
        assert_eq!(measure_head(bytes.chunks(size)), whole, "in pieces of {size}");
    }
    let Ok(Some(measured)) = whole else { return };
    // httparse sees the same head, and the same framing in it.
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    if let Ok(status) = request.parse(bytes) {
        assert_eq!(status, httparse::Status::Complete(measured.head));
        let value = |name: &str| {
            let mut found = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let first = found.next().map(|field| field.value);
            assert!(found.next().is_none(), "several {name}");
            first
        };
        let length = value("content-length").map(|value| {
            let text = std::str::from_utf8(value).expect("digits").trim();
            text.parse::<u64>().expect("a length")
        });
        let chunked = value("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()));
        assert_eq!(measured.length, if chunked { None } else { Some(length.unwrap_or(0)) });
        if request.version == Some(1) {
            assert!(value("host").is_some());
        }
    }
    if measured.length.is_none() {
        let body = &bytes[measured.head..];
        let end = measure_chunked([body]);
        for size in [1, 3, 61] {
            assert_eq!(measure_chunked(body.chunks(size)), end, "in pieces of {size}");
        }
    }
});
