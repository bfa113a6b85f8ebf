//! The session by itself: what it makes of an upstream's frames, and what it sends.

mod received;
mod talk;

use super::frame::{self, flag, kind};
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
