//! The session by itself: what it makes of an upstream's frames, and what it sends.

mod content;
mod received;
mod talk;

use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderValue, Method};

use super::frame::{self, flag, kind};
use super::session::USUAL_MAX_STREAMS;
use super::*;
use crate::message::Fields;

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

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
