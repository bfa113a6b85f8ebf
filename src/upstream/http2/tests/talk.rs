//! A session at work: what it sends, what it waits for, and what it tells those who wait.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::message::Fields;
use crate::upstream::http2::frame::{PREFACE, setting};
use crate::upstream::http2::session::USUAL_MAX_STREAMS;
use crate::upstream::http2::stream::FIRST_WINDOW;

/// A session at work: what it wrote is taken out frame by frame.
struct Talk {
    session: Session,
}

impl Talk {
    /// Past both prefaces.
    fn new() -> Self {
        let mut talk = Self { session: Session::new(USUAL_MAX_STREAMS) };
        talk.written();
        talk.receive(&greeting()).unwrap();
        assert_eq!(talk.frames(), [(kind::SETTINGS, flag::ACK, 0, vec![])]);
        talk
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), fatal::Fatal> {
        self.session.receive(bytes)
    }

    fn open(&mut self, method: Method, ends: bool, fields: &HeaderMap) -> u32 {
        let fields = Fields::from(fields.clone());
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

#[test]
fn a_connection_begins_with_the_preface_and_what_we_take() {
    let mut talk = Talk { session: Session::new(USUAL_MAX_STREAMS) };
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
fn streams_that_soon_need_room_get_it_with_the_one_that_needs_it_now() {
    let mut talk = Talk::new();
    let [first, second, third] = [talk.get(), talk.get(), talk.get()];
    for (id, read) in [(first, 4), (second, 2), (third, 7)] {
        talk.receive(&fields(id, 0, &[(":status", "200")])).unwrap();
        for _ in 0..read {
            talk.receive(&data(id, 0, &[0; 16_384])).unwrap();
        }
    }
    talk.written();
    // The second has read an eighth of what it may get, the third none of it.
    for id in [second, first] {
        while talk.session.poll_data(id, &cx()).is_ready() {}
    }
    assert_eq!(talk.frames(), []);
    talk.receive(&data(first, 0, &[0; 65_536])).unwrap();
    while talk.session.poll_data(first, &cx()).is_ready() {}
    let mut told: Vec<(u32, u32)> = talk
        .frames()
        .into_iter()
        .map(|(_, _, id, more)| (id, u32::from_be_bytes(more.try_into().unwrap())))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(first, 131_072), (second, 32_768)]);
}

#[test]
fn content_is_passed_on_before_its_frame_is_complete_and_padding_never() {
    let mut talk = Talk::new();
    let id = talk.get();
    talk.receive(&fields(id, 0, &[(":status", "200")])).unwrap();
    let read = |talk: &mut Talk| match talk.session.poll_data(id, &cx()) {
        Poll::Ready(Some(Ok(data))) => String::from_utf8(data.to_vec()).unwrap(),
        _ => String::new(),
    };
    let frame = write(kind::DATA, flag::PADDED | END, id, b"\x03content\0\0\0");
    let (start, end) = frame.split_at(frame::HEAD);
    talk.receive(start).unwrap();
    talk.receive(&end[..1]).unwrap();
    assert_eq!(read(&mut talk), "");
    talk.receive(&end[1..4]).unwrap();
    assert_eq!(read(&mut talk), "con");
    talk.receive(&end[4..10]).unwrap();
    assert_eq!(read(&mut talk), "tent");
    assert!(!talk.session.is_taken(id));
    talk.receive(&end[10..]).unwrap();
    assert_eq!(read(&mut talk), "");
    assert!(talk.head(id).is_ready() && talk.session.is_taken(id));
}

#[test]
fn a_stream_that_breaks_in_the_middle_of_a_frame_leaves_the_others_whole() {
    let mut talk = Talk::new();
    let [first, second] = [talk.get(), talk.get()];
    let ok = [(":status", "200")];
    talk.receive(&[fields(first, 0, &ok), fields(second, 0, &ok)].concat()).unwrap();
    let frame = data(first, 0, b"given up");
    talk.receive(&frame[..12]).unwrap();
    talk.session.forget(first);
    talk.receive(&frame[12..]).unwrap();
    talk.receive(&data(second, END, b"whole")).unwrap();
    assert_eq!(talk.session.take_whole(second).unwrap(), "whole");
}

#[test]
fn a_piece_that_waits_keeps_no_more_room_than_it_has_use_for() {
    let mut talk = Talk::new();
    let id = talk.get();
    talk.receive(&fields(id, 0, &[(":status", "200")])).unwrap();
    for _ in 0..2 {
        talk.receive(&data(id, 0, &[0; 100])).unwrap();
    }
    let mut pieces = 0;
    while let Poll::Ready(Some(Ok(piece))) = talk.session.poll_data(id, &cx()) {
        assert!(piece.try_into_mut().unwrap().capacity() <= 256);
        pieces += 1;
    }
    assert_eq!(pieces, 2);
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
        let mut talk = Talk { session: Session::new(2) };
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

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
