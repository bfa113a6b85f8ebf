//! Content as it is passed on, and the room that the upstream gets for it.

use std::task::Poll;

use super::*;
use crate::upstream::http2::stream::FIRST_WINDOW;

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
