//! The head of a response: parsed, and judged as to where the message ends.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::net::field;

/// Bytes of a response's head.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Fields of a head.
const MAX_FIELDS: usize = 100;
/// Fields that a proxy adds on the response's way on: room for them is there from the start.
const ADDED_FIELDS: usize = 1;

/// Why bytes are no response.
pub(super) type Fault = &'static str;

/// A response's head. All values share the memory that it was read into.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Only where it is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the connection persists after the message (RFC 9112 §9.3).
    pub(super) persists: bool,
}

/// What the head says of the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing: to the end of the connection.
    Unstated,
    Chunked,
    /// In bytes.
    Length(u64),
}

impl Head {
    /// Takes a head off the front of `bytes`; `None` where it is not complete.
    pub(super) fn take(bytes: &mut Bytes) -> Result<Option<Self>, Fault> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        // The parser's leniencies are all off.
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(reason_of(error)),
        };
        if length > MAX_HEAD {
            return Err(TOO_LONG);
        }
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or("its status is not a number from 100 to 999")?;
        let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(*reason));
        let reason =
            reason.and_then(|reason| ReasonPhrase::try_from(bytes.slice_ref(reason.as_bytes())).ok());

        let mut headers = HeaderMap::with_capacity(parsed.headers.len() + ADDED_FIELDS);
        let mut seen = Seen { http11: parsed.version == Some(1), ..Seen::default() };
        for line in parsed.headers.iter() {
            let (name, value) = field::read(line, bytes)?;
            if seen.field(&name, &value) {
                headers.append(name, value);
            }
        }
        let (framing, persists) = (seen.framing()?, seen.persists());
        bytes.advance(length);
        Ok(Some(Self { status, reason, headers, framing, persists }))
    }
}

pub(super) const TOO_LONG: Fault = "its head is longer than 64 KiB";

fn reason_of(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status line",
        httparse::Error::TooManyHeaders => "it has more than 100 header fields",
        httparse::Error::Version => "it is not HTTP/1.1 or HTTP/1.0",
        httparse::Error::Token => "invalid character",
    }
}

/// What of a head matters to where the message and the connection end.
#[derive(Default)]
struct Seen {
    http11: bool,
    length: Option<HeaderValue>,
    lengths_differ: bool,
    /// The number of Transfer-Encoding lines.
    codings: usize,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Seen {
    /// Takes note of a field; whether it belongs into the head, which a Content-Length said
    /// again, and a Connection that names no field, do not.
    fn field(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if name == CONTENT_LENGTH {
            if let Some(length) = &self.length {
                self.lengths_differ |= length != value;
                return false;
            }
            self.length = Some(value.clone());
        } else if name == TRANSFER_ENCODING {
            self.codings += 1;
            self.is_chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if name == CONNECTION {
            let mut others = false;
            for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let (close, keep_alive) =
                    (token.eq_ignore_ascii_case(b"close"), token.eq_ignore_ascii_case(b"keep-alive"));
                self.close |= close;
                self.keep_alive |= keep_alive;
                others |= !close && !keep_alive;
            }
            // About this connection alone: nobody else has to know.
            return others;
        }
        true
    }

    /// RFC 9112 §6.3: refuses framing that two readers may see differently.
    fn framing(&self) -> Result<Framing, Fault> {
        if self.codings > 0 {
            if self.length.is_some() {
                return Err("it has both Content-Length and Transfer-Encoding");
            }
            if self.codings > 1 || !self.is_chunked {
                return Err("its Transfer-Encoding is not exactly `chunked`");
            }
            if !self.http11 {
                return Err("its Transfer-Encoding belongs to HTTP/1.1 alone");
            }
            return Ok(Framing::Chunked);
        }
        let Some(length) = &self.length else { return Ok(Framing::Unstated) };
        let number =
            field::decimal(length.as_bytes()).ok_or("its Content-Length is not one plain decimal number")?;
        if self.lengths_differ {
            return Err("it has differing Content-Length fields");
        }
        Ok(Framing::Length(number))
    }

    fn persists(&self) -> bool {
        !self.close && (self.http11 || self.keep_alive)
    }
}
