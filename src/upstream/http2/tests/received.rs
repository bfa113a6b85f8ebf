//! Responses and what is none, read from whole frames and from pieces.

use proptest::prelude::*;

use super::*;
use crate::upstream::http2::frame::setting;
use crate::upstream::http2::measure::{ReadConnection, ReadStream, read_http2};

/// What comes of these frames behind a greeting.
fn read(frames: &[Vec<u8>]) -> ReadConnection {
    let all = [greeting(), frames.concat()].concat();
    read_http2([&all[..]])
}

/// The first request's, on a connection that stays.
fn first(frames: &[Vec<u8>]) -> ReadStream {
    let read = read(frames);
    assert_eq!(read.fatal, None);
    let [first, ..] = read.streams;
    first
}

#[test]
fn a_response_is_read_with_its_trailers() {
    let read = first(&[
        fields(1, 0, &[(":status", "103"), ("link", "</a>")]),
        fields(1, 0, &[(":status", "200"), ("content-length", "5"), ("x-a", "1"), ("x-a", "2")]),
        data(1, 0, b"he"),
        data(1, 0, b""),
        write(kind::DATA, flag::PADDED, 1, b"\x02llo\0\0"),
        fields(1, END, &[("x-sum", "9")]),
    ]);
    let (status, headers) = read.head.unwrap();
    assert_eq!((status, headers.len()), (StatusCode::OK, 3));
    assert_eq!((&read.body[..], read.ended), (&b"hello"[..], true));
    assert_eq!((read.trailers.unwrap()["x-sum"].as_bytes(), read.interim[0].as_u16()), (&b"9"[..], 103));
}

#[test]
fn a_head_may_come_in_many_frames_with_padding_and_priority() {
    let whole = block(&[(":status", "200"), ("x-a", &"a".repeat(100)), ("x-b", "b")]);
    let mut padded = vec![3, 0, 0, 0, 0, 7];
    padded.extend_from_slice(&whole[..20]);
    padded.extend_from_slice(&[0; 3]);
    let read = first(&[
        write(kind::HEADERS, END | flag::PADDED | flag::PRIORITY, 1, &padded),
        write(kind::CONTINUATION, 0, 1, &whole[20..50]),
        write(kind::CONTINUATION, 0, 1, &[]),
        write(kind::CONTINUATION, flag::END_HEADERS, 1, &whole[50..]),
    ]);
    assert_eq!(read.head.unwrap().1.len(), 2);
    assert!(read.ended);
}

#[test]
fn answers_to_head_and_those_without_content_end_with_their_heads() {
    let length = ("content-length", "5");
    let read =
        read(&[fields(3, END, &[(":status", "200"), length]), fields(1, END, &[(":status", "304"), length])]);
    assert!(read.streams[0].ended && read.streams[1].ended && read.fatal.is_none());
}

#[test]
fn what_is_no_response_breaks_its_stream_alone() {
    let ok = (":status", "200");
    let long = [("x", "a".repeat(120)); 1];
    let many: Vec<(&str, &str)> =
        std::iter::once(ok).chain(std::iter::repeat_n((long[0].0, &long[0].1[..]), 450)).collect();
    let too_many_interims = vec![fields(1, 0, &[(":status", "102")]); 33];
    let wrong_length = "its content has not the length that it announces";
    let status = "its status is not one number from 100 to 999 ahead of its fields";
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![fields(1, 0, &[("x", "y")])], "it has no status"),
        (vec![fields(1, 0, &[(":status", "20")])], status),
        (vec![fields(1, 0, &[ok, ok])], status),
        (vec![fields(1, 0, &[("x", "y"), ok])], status),
        (vec![fields(1, 0, &[ok, (":path", "/")])], "it has a pseudo-header field that is not of a response"),
        (vec![fields(1, 0, &[ok, ("X", "y")])], "it has an invalid field"),
        (vec![fields(1, 0, &[ok, ("x", "a\r\nb: c")])], "it has an invalid field"),
        (vec![fields(1, 0, &[ok, ("connection", "close")])], "it has a field that is about a connection"),
        (vec![fields(1, 0, &[ok, ("keep-alive", "1")])], "it has a field that is about a connection"),
        (
            vec![fields(1, 0, &[ok, ("transfer-encoding", "chunked")])],
            "it has a field that is about a connection",
        ),
        (vec![fields(1, 0, &many[..])], "its fields are larger than 64 KiB"),
        (vec![fields(1, 0, &[ok]), fields(1, 0, &[ok])], "it has a second head"),
        (vec![fields(1, 0, &[ok]), fields(1, 0, &[("x", "y")])], "its trailers are not its end"),
        (vec![fields(1, END, &[(":status", "103")])], "an interim response is its end"),
        (vec![fields(1, 0, &[(":status", "101")])], "an interim response is its end"),
        (too_many_interims, "it has more than 32 interim responses"),
        (vec![data(1, 0, b"x")], "content comes ahead of its head"),
        (vec![fields(1, 0, &[ok, ("content-length", "5")]), data(1, END, b"four")], wrong_length),
        (vec![fields(1, 0, &[ok, ("content-length", "3")]), data(1, 0, b"four")], wrong_length),
        (vec![fields(1, END, &[ok, ("content-length", "3")])], wrong_length),
        (
            vec![fields(1, 0, &[ok, ("content-length", "+3")])],
            "its Content-Length is not one plain decimal number",
        ),
        (
            vec![fields(1, 0, &[ok, ("content-length", "3"), ("content-length", "4")])],
            "it has differing Content-Length fields",
        ),
        (vec![fields(1, 0, &[(":status", "204")]), data(1, 0, b"x")], "it has content where there is none"),
        (vec![window(1, 0)], "a window that grows by nothing"),
        (vec![window(1, 0x7fff_ffff)], "a window is wider than windows can be"),
    ];
    for (frames, reason) in cases {
        // Large blocks come in more than one frame.
        let frames: Vec<Vec<u8>> = frames.into_iter().map(in_parts).collect();
        let other = fields(3, END, &[ok]);
        let all = [frames.concat(), other].concat();
        let read = read(&[all]);
        assert_eq!(read.fatal, None, "{reason}");
        assert_eq!(read.streams[0].broken.as_deref(), Some(reason));
        assert!(read.streams[1].ended, "{reason}");
    }
}

/// A HEADERS frame that is too large, as one with CONTINUATION.
fn in_parts(bytes: Vec<u8>) -> Vec<u8> {
    let head = frame::Head::read(&bytes).unwrap();
    if head.length <= 16_384 {
        return bytes;
    }
    let (start, rest) = bytes[frame::HEAD..].split_at(16_384);
    let mut parts = write(kind::HEADERS, 0, head.stream, start);
    let count = rest.chunks(16_384).count();
    for (number, part) in rest.chunks(16_384).enumerate() {
        let flags = if number + 1 == count { flag::END_HEADERS } else { 0 };
        parts.extend(write(kind::CONTINUATION, flags, head.stream, part));
    }
    parts
}

#[test]
fn what_is_not_http2_ends_the_connection() {
    let open_block = || write(kind::HEADERS, 0, 1, &block(&[(":status", "200")]));
    let ended = || fields(1, END, &[(":status", "200")]);
    let endless = || {
        let start = write(kind::HEADERS, 0, 1, &[0; 16_384]);
        let more = write(kind::CONTINUATION, 0, 1, &[0; 16_384]);
        [start, more.repeat(4)].concat()
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (write(kind::DATA, 0, 0, b"x"), "a frame is about a stream that was never begun"),
        (write(kind::DATA, 0, 7, b"x"), "a frame is about a stream that was never begun"),
        (fields(2, 0, &[(":status", "200")]), "a frame is about a stream that was never begun"),
        (reset(0, Code::CANCEL), "a frame is about a stream that was never begun"),
        (window(9, 1), "a frame is about a stream that was never begun"),
        (vec![1, 0, 1, 0, 0, 0, 0, 0, 1], "a frame is larger than was agreed"),
        (write(kind::DATA, flag::PADDED, 1, &[1]), "a frame is padded with more than it holds"),
        (write(kind::DATA, flag::PADDED, 1, &[]), "a padded frame is empty"),
        (
            write(kind::HEADERS, flag::PRIORITY | flag::END_HEADERS, 1, &[0; 4]),
            "a frame is padded with more than it holds",
        ),
        ([ended(), data(1, 0, b"x")].concat(), "content behind the end of a stream"),
        ([ended(), fields(1, 0, &[("x", "y")])].concat(), "fields behind the end of a stream"),
        ([open_block(), data(1, 0, b"x")].concat(), "a header block is broken off"),
        ([open_block(), greeting()].concat(), "a header block is broken off"),
        ([open_block(), write(kind::CONTINUATION, 4, 3, b"")].concat(), "a header block is broken off"),
        (write(kind::CONTINUATION, 4, 1, b""), "CONTINUATION continues nothing"),
        (endless(), "a header block is too long"),
        (
            [open_block(), write(kind::CONTINUATION, 0, 1, &[]).repeat(64)].concat(),
            "a header block is too long",
        ),
        (write(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]), "a header block cannot be decoded"),
        // Also where nobody waits for the fields.
        (
            [reset(1, Code::CANCEL), write(kind::HEADERS, flag::END_HEADERS, 1, &[0x80])].concat(),
            "a header block cannot be decoded",
        ),
        (write(kind::SETTINGS, 0, 1, &[]), "SETTINGS on a stream"),
        (write(kind::SETTINGS, 0, 0, &[0; 5]), "SETTINGS of a wrong size"),
        (write(kind::SETTINGS, flag::ACK, 0, &[0; 6]), "SETTINGS of a wrong size"),
        (settings(&[(setting::ENABLE_PUSH, 1)]), "a server that is pushed to"),
        (settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]), "a window is wider than windows can be"),
        (settings(&[(setting::MAX_FRAME_SIZE, 16_383)]), "a frame size that none may have"),
        (settings(&[(setting::MAX_FRAME_SIZE, 1 << 24)]), "a frame size that none may have"),
        (window(0, 0), "a window that grows by nothing"),
        (window(0, 0x7fff_ffff), "a window is wider than windows can be"),
        (
            [window(1, 0x7fff_0000), settings(&[(setting::INITIAL_WINDOW_SIZE, 0x1_0000)])].concat(),
            "a window is wider than windows can be",
        ),
        (write(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), "WINDOW_UPDATE of a wrong size"),
        (write(kind::RST_STREAM, 0, 1, &[0; 5]), "RST_STREAM of a wrong size"),
        (write(kind::PING, 0, 0, &[0; 7]), "PING of a wrong size"),
        (write(kind::PING, 0, 1, &[0; 8]), "PING on a stream"),
        (write(kind::GOAWAY, 0, 0, &[0; 7]), "GOAWAY of a wrong size, or on a stream"),
        (write(kind::GOAWAY, 0, 1, &[0; 8]), "GOAWAY of a wrong size, or on a stream"),
        (write(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0; 4]), "it pushes, which was declined"),
        (write(kind::PRIORITY, 0, 0, &[0; 5]), "PRIORITY without a stream"),
        (write(kind::PING, 0, 0, &[0; 8]).repeat(1_001), "it asks for answers and takes none"),
        (greeting().repeat(1_001), "it asks for answers and takes none"),
        (goodbye(5, Code::NO_ERROR).repeat(17), "it goes away again and again"),
    ];
    for (bytes, reason) in cases {
        let read = read(&[bytes]);
        assert_eq!(read.fatal, Some(reason));
        // Those whose answers had come are not touched by it.
        assert!(read.streams.iter().all(|stream| stream.ended || stream.broken.is_some()), "{reason}");
    }
    for start in [data(1, 0, b"x"), write(kind::SETTINGS, flag::ACK, 0, &[]), b"HTTP/1.1 400 Bad".to_vec()] {
        let expected = Some("it does not begin with SETTINGS");
        assert_eq!(read_http2([&start[..]]).fatal, expected);
    }
}

#[test]
fn what_is_not_known_is_read_over() {
    let read = first(&[
        write(0x21, 0xff, 0, b"who knows"),
        settings(&[(0x99, 7)]),
        write(kind::PRIORITY, 0, 1, &[0; 5]),
        write(kind::PING, flag::ACK, 0, &[0; 8]),
        write(kind::SETTINGS, flag::ACK, 0, &[]),
        fields(1, END, &[(":status", "200")]),
    ]);
    assert!(read.ended);
}

#[test]
fn a_reset_in_the_middle_is_no_end() {
    let read = first(&[fields(1, 0, &[(":status", "200")]), data(1, 0, b"half"), reset(1, Code::NO_ERROR)]);
    assert_eq!((&read.body[..], read.ended), (&b"half"[..], false));
    assert_eq!(read.broken.as_deref(), Some("it reset the stream (NO_ERROR)"));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = proptest::collection::vec(any::<u8>(), 0..40);
    let known = prop_oneof![
        Just(fields(1, 0, &[(":status", "200")])),
        Just(fields(1, 0, &[(":status", "200"), ("content-length", "3")])),
        Just(fields(1, END, &[("x-sum", "1")])),
        Just(fields(3, END, &[(":status", "404")])),
        Just(data(1, 0, b"abc")),
        Just(data(1, END, b"abc")),
        Just(data(5, 0, b"abc")),
        Just(reset(5, Code::CANCEL)),
        Just(goodbye(3, Code::NO_ERROR)),
    ];
    let other = (0_u8..12, any::<u8>(), 0_u32..8, payload)
        .prop_map(|(kind, flags, id, payload)| write(kind, flags, id, &payload));
    prop_oneof![3 => known, 1 => other]
}

proptest! {
    #[test]
    fn it_is_all_the_same_in_whatever_pieces(
        frames in proptest::collection::vec(any_frame(), 0..12),
        size in 1_usize..50,
    ) {
        let all = [greeting(), frames.concat()].concat();
        let whole = read_http2([&all[..]]);
        prop_assert_eq!(read_http2(all.chunks(size)), whole);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let all = [greeting(), bytes].concat();
        let read = read_http2([&all[..]]);
        prop_assert!(read.streams.iter().all(|stream| stream.body.len() <= all.len()));
    }
}
