//! A response's head, and the framing of its body (RFC 9112 §§4, 6).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::head::Head;
use super::wire::{COPIED, Wire};
use crate::hint::seldom;
use crate::message::{Fields, Name, ResponseHead, decimal, write_line as field};
use crate::net::spare;

/// Room for the head of an ordinary response, in bytes.
const HEAD: usize = 768;

/// What matters of the request for its response.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) connect: bool,
    pub(super) http_10: bool,
    pub(super) keep_alive: bool,
    pub(super) takes_trailers: bool,
}

/// How the body is sent.
pub(super) enum Sending {
    Nothing,
    /// So many bytes are still to come.
    Length(u64),
    /// Trailers with these names may follow.
    Chunked(Vec<HeaderName>),
    /// The end of the connection ends it.
    ToClose,
}

impl Asked {
    pub(super) fn new(method: &Method, head: &Head) -> Self {
        Self {
            is_head: *method == Method::HEAD,
            connect: head.connect,
            http_10: head.http_10,
            keep_alive: head.keep_alive,
            takes_trailers: head.takes_trailers,
        }
    }

    /// Of bytes that were no request.
    pub(super) fn refused(is_head: bool) -> Self {
        Self { is_head, connect: false, http_10: false, keep_alive: false, takes_trailers: false }
    }

    /// Whether the connection is another protocol's after this response.
    pub(super) fn switches(self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self.connect && status.is_success())
    }
}

/// Writes a response's head. `exact`: the length of the body, where it is known; `close`: this is
/// the connection's last response, and is set where it must be.
#[inline(always)]
pub(super) fn head(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    asked: Asked,
    exact: Option<u64>,
    close: &mut bool,
) -> Sending {
    let status = head.status;
    let switches = asked.switches(status);
    // RFC 9110 §8.6: no length in these.
    let unframed = switches || status.is_informational() || status == StatusCode::NO_CONTENT;
    let bodiless = unframed || asked.is_head || status == StatusCode::NOT_MODIFIED;

    let room = HEAD + exact.map_or(0, |exact| usize::try_from(exact).map_or(0, |exact| exact.min(COPIED)));
    if out.capacity() == 0 {
        *out = spare::take(room);
    } else {
        out.reserve(room);
    }
    if status == StatusCode::OK && head.reason.is_none() && !asked.http_10 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        status_line(out, status, head.reason.as_deref(), asked.http_10);
    }

    let mut length = None;
    head.fields.write(out, |name, value| match name {
        Name::Connection if !switches => {
            *close |= is_close(value);
            false
        }
        Name::TransferEncoding => false,
        Name::ContentLength => {
            let stated = decimal(value);
            if unframed || length.is_some() || stated.is_none() {
                return false;
            }
            length = stated;
            true
        }
        _ => true,
    });
    if !head.fields.has(Name::Date) {
        seldom();
        field(out, "date", httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
    }

    let sending = if bodiless {
        if let Some(exact) =
            exact.filter(|exact| *exact > 0 && length.is_none() && asked.is_head && !unframed)
        {
            field(out, "content-length", exact.to_string().as_bytes());
        }
        Sending::Nothing
    } else if let Some(length) = length {
        Sending::Length(length)
    } else if let Some(exact) = exact {
        field(out, "content-length", exact.to_string().as_bytes());
        Sending::Length(exact)
    } else if asked.http_10 {
        seldom();
        *close = true;
        Sending::ToClose
    } else {
        field(out, "transfer-encoding", b"chunked");
        Sending::Chunked(if asked.takes_trailers { announced(&head.fields) } else { Vec::new() })
    };
    if switches {
        // `Connection` is the handler's.
        seldom();
    } else if *close {
        seldom();
        field(out, "connection", b"close");
    } else if asked.http_10 {
        seldom();
        field(out, "connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    sending
}

/// RFC 9112 §4. With the usual reason where there is no other.
#[inline(never)]
fn status_line(out: &mut Vec<u8>, status: StatusCode, reason: Option<&[u8]>, http_10: bool) {
    out.extend_from_slice(if http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let usual = || status.canonical_reason().unwrap_or_default().as_bytes();
    out.extend_from_slice(reason.unwrap_or_else(usual));
    out.extend_from_slice(b"\r\n");
}

#[inline(never)]
fn is_close(value: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// The names that `Trailer` lists (RFC 9110 §6.6.2): others are not sent, since nobody was told.
fn announced(fields: &Fields) -> Vec<HeaderName> {
    fields.list(Name::Trailer).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

impl Sending {
    /// Puts content on the wire, as far as the framing has room for it.
    #[inline(always)]
    pub(super) fn data(&mut self, wire: &mut Wire, mut data: Bytes) {
        match self {
            Self::Nothing => {}
            Self::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                // No longer than what is left.
                *left -= data.len() as u64;
                wire.push(data);
            }
            Self::Chunked(_) if data.is_empty() => {}
            Self::Chunked(_) => push_chunk(wire, data),
            Self::ToClose => wire.push(data),
        }
    }

    /// Whether all that was announced is there.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Nothing | Self::Length(0))
    }

    /// Ends the body; `false` where it is shorter than was announced.
    #[inline(always)]
    pub(super) fn end(&self, wire: &mut Wire, trailers: Option<&HeaderMap>) -> bool {
        match self {
            Self::Nothing | Self::ToClose | Self::Length(0) => true,
            Self::Length(_) => false,
            Self::Chunked(announced) => {
                push_last_chunk(wire, announced, trailers);
                true
            }
        }
    }
}

/// RFC 9112 §7.1.
#[inline(never)]
fn push_chunk(wire: &mut Wire, data: Bytes) {
    wire.push_small(format!("{:x}\r\n", data.len()).as_bytes());
    wire.push(data);
    wire.push_small(b"\r\n");
}

#[inline(never)]
fn push_last_chunk(wire: &mut Wire, announced: &[HeaderName], trailers: Option<&HeaderMap>) {
    let mut last = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flatten() {
        if announced.contains(name) {
            field(&mut last, name, value.as_bytes());
        }
    }
    last.extend_from_slice(b"\r\n");
    wire.push_small(&last);
}
