//! A strict reading of a request's head (RFC 9112 §§2–6), line by line as it arrives.
//!
//! The verdict depends on the bytes alone, never on how they were cut into packets: lines are
//! judged in their order, and the first bad one decides.

use super::Refusal;
use crate::hint::seldom;
use crate::message::{self, BadLine, Line, Name};

/// The longest head that is read, in bytes, its final empty line included.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// The longest request line, in bytes.
pub(crate) const MAX_REQUEST_LINE: usize = 16 * 1024;
/// The most field lines in a head.
pub(crate) const MAX_FIELDS: u32 = 100;
/// Room for the fields of an ordinary request.
const USUAL_FIELDS: usize = 16;
/// Empty lines that are tolerated ahead of a request line (RFC 9112 §2.2).
const MAX_LEADING_LINES: u32 = 8;

/// How the body that follows a head is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// What a complete head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes from the start of the head to the end of its empty line.
    pub(crate) len: usize,
    pub(crate) body: Framing,
    /// It asks for another protocol (`Upgrade`, or the method CONNECT): what follows the message
    /// may not be HTTP.
    pub(crate) upgrade: bool,
    pub(crate) connect: bool,
    pub(crate) http_10: bool,
    /// The connection may carry another request (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    /// The body is held back until a 100 comes (RFC 9110 §10.1.1).
    pub(crate) expects_continue: bool,
    /// Trailers are welcome in the response (RFC 9110 §6.5.1).
    pub(crate) takes_trailers: bool,
}

/// What may stand in a target, as far as that is judged here: no control character or space, and no
/// fragment.
const IN_TARGET: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        table[byte] = false;
        byte += 1;
    }
    table[b'#' as usize] = false;
    table[0x7f] = false;
    table
};

/// Reads one head.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Start of the first line that has not been judged.
    line_start: usize,
    /// Bytes that have been searched for a line's end.
    searched: usize,
    leading: u32,
    fields: u32,
    begun: bool,
    connect: bool,
    http_10: bool,
    hosts: u32,
    content_length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    takes_trailers: bool,
    pub(super) request_line: RequestLine,
    pub(super) lines: Vec<Line>,
}

/// Where the parts of the request line stand in the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestLine {
    pub(super) start: usize,
    pub(super) method_end: usize,
    pub(super) target_end: usize,
}

impl Scanner {
    /// Judges `head`, the bytes from the head's start on; each call repeats the bytes of the one
    /// before and may add to them. `None`: more bytes are needed.
    pub(crate) fn scan(&mut self, head: &[u8]) -> Result<Option<Head>, Refusal> {
        while let Some(found) = line_end(&head[self.searched..]) {
            let end = self.searched + found;
            self.searched = end + 1;
            self.check_size(end + 1)?;
            let start = self.line_start;
            let length = head[start..end].strip_suffix(b"\r").ok_or(Refusal::LineEnding)?.len();
            self.line_start = end + 1;
            if self.judge_line(head, start, start + length)? {
                return self.finish(end + 1).map(Some);
            }
        }
        self.searched = head.len();
        self.check_size(head.len())?;
        Ok(None)
    }

    /// Makes it ready for another head.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether a byte of the request line has been seen: from then on a slow client is too slow.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun || self.searched > self.line_start
    }

    fn check_size(&self, len: usize) -> Result<(), Refusal> {
        if !self.begun && len - self.line_start > MAX_REQUEST_LINE {
            seldom();
            return Err(Refusal::TargetTooLong);
        }
        if len > MAX_HEAD {
            seldom();
            return Err(Refusal::HeadTooLarge);
        }
        Ok(())
    }

    /// `true` at the empty line that ends the head.
    fn judge_line(&mut self, head: &[u8], start: usize, end: usize) -> Result<bool, Refusal> {
        if start == end {
            if self.begun {
                return Ok(true);
            }
            seldom();
            self.leading += 1;
            return if self.leading > MAX_LEADING_LINES { Err(Refusal::RequestLine) } else { Ok(false) };
        }
        if !self.begun {
            self.begun = true;
            return self.request_line(&head[start..end], start).map(|()| false);
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            seldom();
            return Err(Refusal::HeadTooLarge);
        }
        self.field_line(head, start, end).map(|()| false)
    }

    /// RFC 9112 §3: `method SP request-target SP HTTP-version`.
    fn request_line(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        // Methods are short, and what stands at the end is nearly always the same.
        let first = line.iter().position(|byte| *byte == b' ').ok_or(Refusal::RequestLine)?;
        let last = match line.strip_suffix(b" HTTP/1.1") {
            Some(rest) => rest.len(),
            None => memchr::memrchr(b' ', line).ok_or(Refusal::RequestLine)?,
        };
        if first == last {
            seldom();
            return Err(Refusal::RequestLine);
        }
        let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
        // A fragment is never sent (RFC 9112 §3.2); whoever cut it off would ask for another target.
        let target_holds = !target.is_empty() && target.iter().all(|b| IN_TARGET[usize::from(*b)]);
        if method.is_empty() || !method.iter().all(|b| message::is_token(*b)) || !target_holds {
            seldom();
            return Err(Refusal::RequestLine);
        }
        match version {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => {
                seldom();
                self.http_10 = true;
            }
            _ => {
                seldom();
                return Err(if version.starts_with(b"HTTP/") {
                    Refusal::Version
                } else {
                    Refusal::RequestLine
                });
            }
        }
        self.connect = method == b"CONNECT";
        self.request_line = RequestLine { start, method_end: start + first, target_end: start + last };
        Ok(())
    }

    fn field_line(&mut self, head: &[u8], start: usize, end: usize) -> Result<(), Refusal> {
        let line = Line::read(head, start, end, true).map_err(of_line)?;
        match line.name() {
            Name::Other => {}
            Name::Host => self.hosts += 1,
            name => {
                if !self.known_field(name, line.value_in(head))? {
                    return Ok(());
                }
            }
        }
        if self.lines.capacity() == 0 {
            self.lines = Vec::with_capacity(USUAL_FIELDS);
        }
        self.lines.push(line);
        Ok(())
    }

    /// Notes what a field says of the message or the connection; `false` where nobody else has to
    /// know.
    #[inline(never)]
    fn known_field(&mut self, name: Name, value: &[u8]) -> Result<bool, Refusal> {
        match name {
            Name::Te => self.takes_trailers |= has_member(value, b"trailers"),
            Name::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Connection => {
                let (close, keep_alive) =
                    (value.eq_ignore_ascii_case(b"close"), value.eq_ignore_ascii_case(b"keep-alive"));
                self.close |= close || has_member(value, b"close");
                self.keep_alive |= keep_alive || has_member(value, b"keep-alive");
                // What nearly every client says.
                return Ok(!close && !keep_alive);
            }
            Name::Upgrade => self.upgrade = true,
            Name::ContentLength => self.length_field(value)?,
            Name::TransferEncoding => self.encoding_field(value)?,
            _ => {}
        }
        Ok(true)
    }

    fn length_field(&mut self, value: &[u8]) -> Result<(), Refusal> {
        // Equal lengths on several lines are valid to some (RFC 9110 §8.6), but no client of
        // good will sends them.
        if self.content_length.is_some() {
            return Err(Refusal::ContentLength);
        }
        let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !digits {
            return Err(Refusal::ContentLength);
        }
        self.content_length = Some(value.iter().fold(0, |length, b| length * 10 + u64::from(b - b'0')));
        Ok(())
    }

    fn encoding_field(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked || self.http_10 || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn finish(&self, len: usize) -> Result<Head, Refusal> {
        if self.hosts > 1 || (self.hosts == 0 && !self.http_10) {
            seldom();
            return Err(Refusal::Host);
        }
        let body = match (self.chunked, self.content_length) {
            (true, Some(_)) => return Err(Refusal::LengthAndEncoding),
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        if self.connect && body != Framing::Length(0) {
            seldom();
            return Err(Refusal::ConnectBody);
        }
        Ok(Head {
            len,
            body,
            upgrade: self.connect || (self.upgrade && !self.http_10),
            connect: self.connect,
            http_10: self.http_10,
            keep_alive: !self.close && (!self.http_10 || self.keep_alive),
            expects_continue: self.expects_continue && !self.http_10,
            takes_trailers: self.takes_trailers && !self.http_10,
        })
    }
}

#[cold]
#[inline(never)]
fn of_line(bad: BadLine) -> Refusal {
    match bad {
        BadLine::Folded => Refusal::Folded,
        BadLine::Name => Refusal::FieldName,
        BadLine::Value => Refusal::FieldValue,
    }
}

#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    // The last line of a head is the shortest.
    if bytes.starts_with(b"\r\n") { Some(1) } else { memchr::memchr(b'\n', bytes) }
}

/// Whether a list-valued field's line holds `member`, in any case.
#[inline(never)]
fn has_member(value: &[u8], member: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(member))
}
