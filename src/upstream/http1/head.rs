//! The head of a response: parsed, and judged as to where the message ends.

use bytes::{Buf, Bytes};
use http::{StatusCode, Version};

use crate::hint::seldom;
use crate::message::{BadLine, Fields, Line, Name, Recurring, ResponseHead, decimal, is_control};

/// Bytes of a response's head.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// Fields of a head.
const MAX_FIELDS: usize = 100;
/// Room for the fields of an ordinary response.
const USUAL_FIELDS: usize = 16;

/// Why bytes are no response.
pub(super) type Fault = &'static str;

/// A response's head. All of it shares the memory that it was read into.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) head: Box<ResponseHead>,
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
    /// Takes a head off the front of `bytes`; `None` where it is not complete. `recurring`: the lines
    /// of the same server's heads before it.
    pub(super) fn take(bytes: &mut Bytes, recurring: &mut Recurring) -> Result<Option<Self>, Fault> {
        let all = &bytes[..];
        let first = if all.starts_with(USUAL_LINE) {
            First { http11: true, status: StatusCode::OK, reason: None, end: USUAL_LINE.len() }
        } else {
            match First::take(bytes)? {
                Some(first) => first,
                None => return incomplete(all),
            }
        };
        let First { http11, status, reason, end: mut at } = first;

        let mut lines = Vec::with_capacity(USUAL_FIELDS);
        let mut seen = Seen { http11, ..Seen::default() };
        let mut count = 0;
        let end = loop {
            match all[at..] {
                [b'\n', ..] => break at + 1,
                [b'\r', b'\n', ..] => break at + 2,
                [] | [b'\r'] => return incomplete(all),
                _ => count += 1,
            }
            if count > MAX_FIELDS {
                seldom();
                return Err("it has more than 100 header fields");
            }
            let found = recurring.find(count - 1, all, at).map_err(of_line)?;
            let Some((line, next)) = found else { return incomplete(all) };
            at = next;
            if seen.field(all, &line) {
                lines.push(line);
            }
        };
        if end > MAX_HEAD {
            seldom();
            return Err(TOO_LONG);
        }
        let (framing, persists) = (seen.framing(all)?, seen.persists());
        let fields = Fields::of_lines(bytes.clone(), lines);
        bytes.advance(end);
        let head = Box::new(ResponseHead { status, reason, version: Version::HTTP_11, fields });
        Ok(Some(Self { head, framing, persists }))
    }
}

#[cold]
#[inline(never)]
fn of_line(bad: BadLine) -> Fault {
    match bad {
        BadLine::Folded | BadLine::Name => "invalid header name",
        BadLine::Value => "invalid header value",
    }
}

pub(super) const TOO_LONG: Fault = "its head is longer than 64 KiB";

#[cold]
#[inline(never)]
fn incomplete(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    // What cannot become a response need not be waited for.
    let begun = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let begun = begun.map_or(&[][..], |begun| &bytes[begun..]);
    let known = begun.len().min(START.len());
    if begun[..known] == START[..known] { Ok(None) } else { Err(NO_VERSION) }
}

const START: &[u8] = b"HTTP/1.";
/// What nearly all responses begin with.
const USUAL_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
const NO_VERSION: Fault = "it is not HTTP/1.1 or HTTP/1.0";

/// The line that begins at `at`, which moves behind it: its start, and its end without CR and LF. A
/// bare LF ends a line, too (RFC 9112 §2.2).
#[inline]
fn next_line(bytes: &[u8], at: &mut usize) -> Option<(usize, usize)> {
    let start = *at;
    let end = start + memchr::memchr(b'\n', &bytes[start..])?;
    *at = end + 1;
    let crlf = end > start && bytes[end - 1] == b'\r';
    Some((start, end - usize::from(crlf)))
}

/// The first line of a response.
struct First {
    http11: bool,
    status: StatusCode,
    /// Where it is not the status' usual one.
    reason: Option<Bytes>,
    /// Where the next line begins.
    end: usize,
}

impl First {
    /// `None` where it is not complete.
    #[inline(never)]
    fn take(bytes: &Bytes) -> Result<Option<Self>, Fault> {
        let mut at = 0;
        let line = loop {
            match next_line(bytes, &mut at) {
                Some((start, end)) if start == end => {}
                Some((start, end)) => break &bytes[start..end],
                None => return Ok(None),
            }
        };
        let (http11, status, reason) = status_line(line)?;
        let is_usual = status.canonical_reason().map(str::as_bytes) == Some(reason);
        let reason = if is_usual { None } else { Some(bytes.slice_ref(reason)) };
        Ok(Some(Self { http11, status, reason, end: at }))
    }
}

/// RFC 9112 §4: `HTTP-version SP status-code SP [reason-phrase]`; the space ahead of no reason is
/// often left out.
fn status_line(line: &[u8]) -> Result<(bool, StatusCode, &[u8]), Fault> {
    let (http11, rest) = match line.strip_prefix(START) {
        Some([b'1', b' ', rest @ ..]) => (true, rest),
        Some([b'0', b' ', rest @ ..]) => (false, rest),
        _ => {
            seldom();
            return Err(NO_VERSION);
        }
    };
    let (code, rest) = rest.split_at_checked(3).ok_or("invalid status line")?;
    let status = StatusCode::from_bytes(code).map_err(|_| "its status is not a number from 100 to 999")?;
    let reason = match rest {
        [] | [b' '] => &[],
        [b' ', reason @ ..] => reason,
        _ => return Err("invalid status line"),
    };
    if reason.iter().any(|byte| is_control(*byte)) {
        seldom();
        return Err("invalid status line");
    }
    Ok((http11, status, reason))
}

/// What of a head matters to where the message and the connection end.
#[derive(Default)]
struct Seen {
    http11: bool,
    length: Option<Line>,
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
    fn field(&mut self, head: &[u8], line: &Line) -> bool {
        let value = line.value_in(head);
        match line.name() {
            Name::ContentLength => {
                if let Some(length) = &self.length {
                    seldom();
                    self.lengths_differ |= length.value_in(head) != value;
                    return false;
                }
                self.length = Some(*line);
            }
            Name::TransferEncoding => {
                self.codings += 1;
                self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            // What nearly every server says.
            Name::Connection if value == b"keep-alive" => {
                self.keep_alive = true;
                return false;
            }
            Name::Connection => return self.connection(value),
            _ => {}
        }
        true
    }

    /// Whether it names a field.
    #[inline(never)]
    fn connection(&mut self, value: &[u8]) -> bool {
        let mut others = false;
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let (close, keep_alive) =
                (token.eq_ignore_ascii_case(b"close"), token.eq_ignore_ascii_case(b"keep-alive"));
            self.close |= close;
            self.keep_alive |= keep_alive;
            others |= !close && !keep_alive;
        }
        // About this connection alone: nobody else has to know.
        others
    }

    /// RFC 9112 §6.3: refuses framing that two readers may see differently.
    fn framing(&self, head: &[u8]) -> Result<Framing, Fault> {
        if self.codings > 0 {
            if self.length.is_some() {
                seldom();
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
            decimal(length.value_in(head)).ok_or("its Content-Length is not one plain decimal number")?;
        if self.lengths_differ {
            seldom();
            return Err("it has differing Content-Length fields");
        }
        Ok(Framing::Length(number))
    }

    fn persists(&self) -> bool {
        !self.close && (self.http11 || self.keep_alive)
    }
}
