//! A session at work: what it sends, what it waits for, and what it tells those who wait.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::upstream::http2::frame::{PREFACE, setting};
use crate::upstream::http2::session::USUAL_MAX_STREAMS;

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
