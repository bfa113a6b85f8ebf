//! The session by itself: what it makes of an upstream's frames, and what it sends.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::Method;
use proptest::prelude::*;

use super::frame::{self, PREFACE, flag, kind, setting};
use super::measure::{ReadConnection, ReadStream, read_http2};
use super::session::USUAL_MAX_STREAMS;
use super::stream::FIRST_WINDOW;
use super::*;

/// A header block of literals that leave no trace in the table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn write(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame::Head { length: payload.len(), kind, flags, stream }.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

const END: u8 = flag::END_STREAM;

fn greeting() -> Vec<u8> {
    write(kind::SETTINGS, 0, 0, &[])
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| name.to_be_bytes().into_iter().chain(value.to_be_bytes()))
        .collect();
    write(kind::SETTINGS, 0, 0, &payload)
}

fn fields(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    write(kind::HEADERS, flag::END_HEADERS | flags, stream, &block(fields))
}

fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    write(kind::DATA, flags, stream, content)
}

fn reset(stream: u32, code: Code) -> Vec<u8> {
    write(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

fn goodbye(last: u32, code: Code) -> Vec<u8> {
    write(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.0.to_be_bytes()].concat())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    write(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

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

/// A session at work: what it wrote is taken out frame by frame.
struct Talk {
    session: Session,
    input: BytesMut,
}

impl Talk {
    /// Past both prefaces.
    fn new() -> Self {
        let mut talk = Self { session: Session::new(USUAL_MAX_STREAMS), input: BytesMut::new() };
        talk.written();
        talk.receive(&greeting()).unwrap();
        assert_eq!(talk.frames(), [(kind::SETTINGS, flag::ACK, 0, vec![])]);
        talk
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), fatal::Fatal> {
        self.input.extend_from_slice(bytes);
        self.session.receive(&mut self.input)
    }

    fn open(&mut self, method: Method, ends: bool, fields: &HeaderMap) -> u32 {
        let head = RequestHead {
            method: &method,
            scheme: Scheme::Https,
            authority: &HeaderValue::from_static("api.example.no"),
            path: "/a?b",
            fields: fields.iter(),
        };
        self.session.open(head, ends)
    }

    fn get(&mut self) -> u32 {
        self.open(Method::GET, true, &HeaderMap::new())
    }

    fn post(&mut self) -> u32 {
        self.open(Method::POST, false, &HeaderMap::new())
    }

    fn written(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        let before = self.session.out.waiting();
        let outcome = self.session.out.poll_write(&mut written, &mut cx());
        assert!(matches!(outcome, Poll::Ready(Ok(()))));
        self.session.wrote(before);
        written
    }

    /// Type, flags, stream and payload of what it wrote.
    fn frames(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let written = self.written();
        let mut rest = &written[..];
        let mut frames = Vec::new();
        while let Some(head) = frame::Head::read(rest) {
            let end = frame::HEAD + head.length;
            frames.push((head.kind, head.flags, head.stream, rest[frame::HEAD..end].to_vec()));
            rest = &rest[end..];
        }
        assert!(rest.is_empty());
        frames
    }

    fn head(&mut self, id: u32) -> Poll<Result<Arrival, Broken>> {
        self.session.poll_head(id, &cx())
    }

    fn broken(&mut self, id: u32) -> String {
        match self.head(id) {
            Poll::Ready(Err(broken)) => format!("{broken:?}"),
            _ => panic!("stream {id} goes on"),
        }
    }

    fn room(&mut self, id: u32) -> Poll<Option<usize>> {
        self.session.poll_send_room(id, &cx())
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn a_connection_begins_with_the_preface_and_what_we_take() {
    let mut talk = Talk { session: Session::new(USUAL_MAX_STREAMS), input: BytesMut::new() };
    let written = talk.written();
    let rest = written.strip_prefix(PREFACE).unwrap();
    let head = frame::Head::read(rest).unwrap();
    assert_eq!((head.kind, head.flags, head.stream), (kind::SETTINGS, 0, 0));
    let (settings, _) = rest[frame::HEAD..frame::HEAD + head.length].as_chunks::<6>();
    assert!(settings.contains(&[0, setting::ENABLE_PUSH as u8, 0, 0, 0, 0]));
    let update = frame::Head::read(&rest[frame::HEAD + head.length..]).unwrap();
    assert_eq!((update.kind, update.stream), (kind::WINDOW_UPDATE, 0));
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
fn a_fatal_end_is_told_to_the_upstream_and_to_all_who_wait() {
    let mut talk = Talk::new();
    let id = talk.get();
    talk.written();
    let fatal = talk.receive(&write(kind::PING, 0, 0, &[0; 7])).unwrap_err();
    talk.session.reject(&fatal);
    let expected = [0, 0, 0, 0, 0, 0, 0, Code::FRAME_SIZE_ERROR.0 as u8].to_vec();
    assert_eq!(talk.frames(), [(kind::GOAWAY, 0, 0, expected)]);
    assert_eq!(talk.broken(id), "Malformed(\"PING of a wrong size\")");
    assert!(!talk.session.is_usable());
    talk.session.forget(id);
    assert_eq!(talk.frames(), []);
}

#[test]
fn pings_and_settings_are_answered() {
    let mut talk = Talk::new();
    talk.receive(&write(kind::PING, 0, 0, b"12345678")).unwrap();
    talk.receive(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)])).unwrap();
    let pong = (kind::PING, flag::ACK, 0, b"12345678".to_vec());
    assert_eq!(talk.frames(), [pong, (kind::SETTINGS, flag::ACK, 0, vec![])]);
    assert!(talk.session.has_room());
    talk.get();
    assert!(!talk.session.has_room());
    // As long as the answers go out, any number may be asked for.
    for _ in 0..3 {
        talk.receive(&write(kind::PING, 0, 0, b"12345678").repeat(900)).unwrap();
        assert_eq!(talk.frames().iter().filter(|frame| frame.0 == kind::PING).count(), 900);
    }
}

#[test]
fn a_stream_counts_until_both_sides_have_ended_it() {
    let mut talk = Talk::new();
    talk.receive(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)])).unwrap();
    let id = talk.post();
    talk.receive(&fields(id, END, &[(":status", "200")])).unwrap();
    assert!(!talk.session.has_room());
    talk.session.send_data(id, Bytes::from_static(b"x"), true);
    assert!(talk.session.has_room());
    talk.session.forget(id);
    assert!(talk.frames().iter().all(|frame| frame.0 != kind::RST_STREAM));

    let id = talk.get();
    talk.session.forget(id);
    assert!(talk.session.has_room());
    assert_eq!(talk.frames().last().unwrap(), &(kind::RST_STREAM, 0, id, vec![0, 0, 0, 8]));
    // What was on its way meanwhile does no harm.
    talk.receive(&[fields(id, 0, &[(":status", "200")]), data(id, END, b"x"), window(id, 5)].concat())
        .unwrap();
    talk.receive(&reset(id, Code::CANCEL)).unwrap();
    assert!(talk.session.has_room() && talk.session.is_quiet());
}

#[test]
fn large_heads_and_bodies_are_cut_to_the_frames_that_the_upstream_takes() {
    let mut talk = Talk::new();
    let mut headers = HeaderMap::new();
    headers.insert("x-large", HeaderValue::from_bytes(&[b'a'; 40_000]).unwrap());
    let id = talk.open(Method::POST, false, &headers);
    let frames: Vec<_> =
        talk.frames().iter().map(|frame| (frame.0, frame.1, frame.3.len() <= 16_384)).collect();
    let last = (kind::CONTINUATION, flag::END_HEADERS, true);
    assert_eq!(frames, [(kind::HEADERS, 0, true), (kind::CONTINUATION, 0, true), last]);

    talk.receive(&settings(&[(setting::MAX_FRAME_SIZE, 20_000)])).unwrap();
    talk.written();
    talk.session.send_data(id, Bytes::from(vec![b'x'; 50_000]), true);
    let sizes: Vec<_> = talk.frames().iter().map(|frame| (frame.0, frame.1, frame.3.len())).collect();
    assert_eq!(sizes, [(0, 0, 20_000), (0, 0, 20_000), (0, END, 10_000)]);
}

#[test]
fn a_body_waits_for_room_on_its_stream_and_on_the_connection() {
    let mut talk = Talk::new();
    let (first, second) = (talk.post(), talk.post());
    assert_eq!(talk.room(first), Poll::Ready(Some(65_535)));
    talk.session.send_data(first, Bytes::from(vec![0; 65_535]), false);
    assert!(talk.room(first).is_pending() && talk.room(second).is_pending());
    talk.written();
    talk.receive(&window(first, 10)).unwrap();
    assert!(talk.room(first).is_pending(), "the connection has none");
    talk.receive(&window(0, 30)).unwrap();
    assert_eq!(talk.room(first), Poll::Ready(Some(10)));
    assert_eq!(talk.room(second), Poll::Ready(Some(30)));

    // RFC 9113 §6.9.2: what is changed for all may leave some with less than nothing.
    talk.receive(&settings(&[(setting::INITIAL_WINDOW_SIZE, 0)])).unwrap();
    assert!(talk.room(first).is_pending() && talk.room(second).is_pending());
    talk.receive(&settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)])).unwrap();
    assert_eq!(talk.room(first), Poll::Ready(Some(11)));
    let third = talk.post();
    assert_eq!(talk.room(third), Poll::Ready(Some(30)));
}

#[test]
fn a_body_waits_while_the_connection_takes_nothing() {
    let mut talk = Talk::new();
    talk.receive(&[window(0, 1 << 24), settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 24)])].concat())
        .unwrap();
    let id = talk.post();
    talk.session.send_data(id, Bytes::from(vec![0; 256 * 1024]), false);
    assert!(talk.room(id).is_pending());
    talk.written();
    assert!(talk.room(id).is_ready());
}

#[test]
fn a_slow_reader_holds_up_its_own_stream_alone() {
    let mut talk = Talk::new();
    let ok = [(":status", "200")];
    let slow: Vec<u32> = (0..80).map(|_| talk.get()).collect();
    let fast = talk.get();
    let full = data(0, 0, &[0; 16_384]);
    for id in &slow {
        talk.receive(&fields(*id, 0, &ok)).unwrap();
        for _ in 0..FIRST_WINDOW / 16_384 {
            let mut frame = full.clone();
            frame[5..9].copy_from_slice(&id.to_be_bytes());
            talk.receive(&frame).unwrap();
        }
    }
    talk.written();
    talk.receive(&[fields(fast, 0, &ok), data(fast, END, b"x")].concat()).unwrap();
    assert!(matches!(talk.session.poll_data(fast, &cx()), Poll::Ready(Some(Ok(data))) if data == "x"));
    // More than it was allowed ends its stream.
    talk.receive(&data(slow[0], 0, b"x")).unwrap();
    assert!(talk.head(slow[0]).is_ready());
    while let Poll::Ready(Some(Ok(_))) = talk.session.poll_data(slow[0], &cx()) {}
    assert_eq!(talk.broken(slow[0]), "Malformed(\"more content than there is room for\")");
}

#[test]
fn content_in_tiny_pieces_is_joined() {
    let mut talk = Talk::new();
    let id = talk.get();
    talk.receive(&fields(id, 0, &[(":status", "200")])).unwrap();
    let sent: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
    for byte in &sent {
        talk.receive(&data(id, 0, std::slice::from_ref(byte))).unwrap();
    }
    let (mut pieces, mut read) = (0, Vec::new());
    while let Poll::Ready(Some(Ok(piece))) = talk.session.poll_data(id, &cx()) {
        pieces += 1;
        read.extend_from_slice(&piece);
    }
    assert!(read == sent && pieces < 40, "{pieces} pieces");
}

#[test]
fn room_to_send_grows_for_a_reader_who_keeps_up() {
    let mut talk = Talk::new();
    let id = talk.get();
    talk.receive(&fields(id, 0, &[(":status", "200")])).unwrap();
    talk.written();
    let part = data(id, 0, &[0; 16_384]);
    let mut granted = i64::from(FIRST_WINDOW);
    let mut most = 0;
    for number in 0..1_000 {
        talk.receive(&part).unwrap();
        granted -= 16_384;
        assert!(matches!(talk.session.poll_data(id, &cx()), Poll::Ready(Some(Ok(_)))));
        for (kind, _, stream, payload) in talk.frames() {
            assert_eq!(kind, kind::WINDOW_UPDATE);
            if stream == id {
                granted += i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
            }
        }
        assert!(granted > 0);
        most = most.max(granted);
        // What a client's buffers swallow says nothing of how fast it reads.
        assert!(number >= 127 || most <= i64::from(FIRST_WINDOW));
    }
    assert_eq!(most, 512 * 1024);
}

#[test]
fn what_the_upstream_has_not_looked_at_is_told_apart() {
    let mut talk = Talk::new();
    let (seen, unseen) = (talk.get(), talk.get());
    talk.receive(&goodbye(seen, Code::NO_ERROR)).unwrap();
    assert_eq!(talk.broken(unseen), "NotLookedAt(NO_ERROR)");
    assert!(talk.head(seen).is_pending() && !talk.session.is_usable());
    talk.receive(&fields(seen, END, &[(":status", "200")])).unwrap();
    assert!(talk.head(seen).is_ready());

    let mut talk = Talk::new();
    let id = talk.post();
    talk.receive(&reset(id, Code::REFUSED_STREAM)).unwrap();
    assert_eq!(talk.broken(id), "Reset(REFUSED_STREAM)");
    assert!(talk.session.is_usable());
}

#[test]
fn a_connection_that_dies_tells_what_went_out_from_what_did_not() {
    let mut talk = Talk::new();
    let sent = talk.post();
    talk.written();
    let unsent = talk.post();
    talk.session.lose(std::io::ErrorKind::UnexpectedEof.into());
    assert_eq!(talk.broken(unsent), "Unsent");
    assert!(talk.broken(sent).starts_with("Connection("));
    assert!(!talk.session.is_usable());
}

#[test]
fn what_was_not_written_is_not_written_behind_the_end() {
    let mut talk = Talk::new();
    let sent = talk.post();
    talk.written();
    let unsent = talk.post();
    let fatal = talk.receive(&write(kind::PING, 0, 0, &[0; 7])).unwrap_err();
    talk.session.reject(&fatal);
    assert_eq!(talk.broken(sent), "Malformed(\"PING of a wrong size\")");
    assert_eq!(talk.broken(unsent), "Unsent");
    assert_eq!(talk.frames(), []);
}

/// A head that was begun has to go out, or the upstream's table would not be ours.
#[test]
fn requests_that_are_given_up_before_they_are_written_make_no_crowd() {
    let mut talk = Talk::new();
    let mut headers = HeaderMap::new();
    headers.insert("x-large", HeaderValue::from_bytes(&[b'a'; 40_000]).unwrap());
    let mut given_up = 0;
    while talk.session.has_room() {
        let id = talk.open(Method::GET, true, &headers);
        talk.session.forget(id);
        given_up += 1;
        assert!(given_up < 100, "there is always room");
    }
    let room = talk.session.room();
    // That those had ended was told, too.
    assert!(Box::pin(room.notified()).as_mut().poll(&mut cx()).is_ready());
    let mut told = Box::pin(room.notified());
    assert!(told.as_mut().poll(&mut cx()).is_pending());
    talk.written();
    assert!(told.as_mut().poll(&mut cx()).is_ready() && talk.session.has_room());
}

#[test]
fn answers_count_until_they_are_written_whatever_is_behind_them() {
    let mut talk = Talk::new();
    let id = talk.post();
    talk.receive(&[window(0, 1 << 24), window(id, 1 << 24)].concat()).unwrap();
    for _ in 0..3 {
        talk.receive(&write(kind::PING, 0, 0, &[0; 8]).repeat(600)).unwrap();
        // All but the last bytes of what waits go out.
        talk.session.send_data(id, Bytes::from(vec![0; 100_000]), false);
        let before = talk.session.out.waiting();
        let mut part = Partly { room: before - 10 };
        assert!(talk.session.out.poll_write(&mut part, &mut cx()).is_pending());
        talk.session.wrote(before);
    }
}

/// Takes so many bytes, and then none.
struct Partly {
    room: usize,
}

impl tokio::io::AsyncWrite for Partly {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn what_another_connection_has_said_of_streams_holds_until_this_one_speaks() {
    for (said, expected) in [(None, USUAL_MAX_STREAMS), (Some(7), 7)] {
        let mut talk = Talk { session: Session::new(2), input: BytesMut::new() };
        assert_eq!(talk.session.max_streams(), 2);
        let said = said.map(|said| (setting::MAX_CONCURRENT_STREAMS, said));
        talk.receive(&settings(said.as_slice())).unwrap();
        assert_eq!(talk.session.max_streams(), expected);
    }
}

#[test]
fn the_rest_of_a_request_is_not_sent_behind_a_reset_and_the_answer_stays() {
    let mut talk = Talk::new();
    let id = talk.post();
    talk.receive(
        &[fields(id, 0, &[(":status", "413")]), data(id, END, b"no"), reset(id, Code::NO_ERROR)].concat(),
    )
    .unwrap();
    talk.written();
    assert_eq!(talk.room(id), Poll::Ready(None));
    assert!(talk.session.poll_unwanted(id, &cx()).is_ready());
    talk.session.send_data(id, Bytes::from_static(b"x"), true);
    assert_eq!(talk.frames(), []);
    assert!(matches!(talk.head(id), Poll::Ready(Ok(Arrival::Head(..)))));
    assert_eq!(talk.session.take_whole(id), Some(Bytes::from_static(b"no")));
}

#[test]
fn a_reset_in_the_middle_is_no_end() {
    let read = first(&[fields(1, 0, &[(":status", "200")]), data(1, 0, b"half"), reset(1, Code::NO_ERROR)]);
    assert_eq!((&read.body[..], read.ended), (&b"half"[..], false));
    assert_eq!(read.broken.as_deref(), Some("it reset the stream (NO_ERROR)"));
}

#[test]
fn the_token_goes_out_whole_once_on_a_connection() {
    let mut talk = Talk::new();
    let mut headers = HeaderMap::new();
    let mut token = HeaderValue::from_str(&format!("Bearer {}", "x".repeat(1_100))).unwrap();
    token.set_sensitive(true);
    headers.insert("authorization", token);
    let sizes: Vec<usize> = (0..3)
        .map(|_| {
            talk.open(Method::GET, true, &headers);
            talk.written().len()
        })
        .collect();
    assert!(sizes[0] > 1_100 && sizes[1] < 40 && sizes[2] == sizes[1], "{sizes:?}");
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
