//! An upstream's HTTP/2 frames: the same in whatever pieces they come, and what they make is
//! what may be passed on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maskinporten_proxy::upstream::read_http2;

fuzz_target!(|bytes: &[u8]| {
    // Empty SETTINGS come first on every connection; most inputs would end there otherwise.
    let mut whole = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    whole.extend_from_slice(bytes);
    let read = read_http2([&whole[..]]);
    for size in [1, 7, 64] {
        assert_eq!(read_http2(whole.chunks(size)), read, "in pieces of {size}");
    }
    for (number, stream) in read.streams.iter().enumerate() {
        assert!(stream.body.len() <= bytes.len());
        assert!(!(stream.ended && stream.broken.is_some()));
        assert!(stream.interim.iter().all(|status| status.is_informational() && status.as_u16() != 101));
        let Some((status, headers)) = &stream.head else { continue };
        assert!(!status.is_informational());
        let is_head = number == 1;
        assert!(!(is_head && !stream.body.is_empty()));
        for (name, value) in headers.iter().chain(stream.trailers.iter().flatten()) {
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            assert!(!matches!(name.as_str(), "connection" | "transfer-encoding" | "upgrade" | "keep-alive"));
        }
        // Whoever reads it next must see the same end.
        let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
        assert!(lengths.len() <= 1);
        if let Some(length) = lengths.first() {
            let length: u64 = length.to_str().expect("digits").parse().expect("a number");
            assert!(stream.body.len() as u64 <= length);
            let bodiless = is_head || matches!(status.as_u16(), 204 | 304);
            assert!(!stream.ended || bodiless || stream.body.len() as u64 == length);
        }
    }
});
