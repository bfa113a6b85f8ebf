//! The chunked coding (RFC 9112 §7.1), read strictly and without copying: for clients' requests
//! and upstreams' responses alike, so that no two readings of it can differ.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::is_control;

/// Bytes of chunk extensions in one body; they mean nothing to a proxy.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of the trailer section.
const MAX_TRAILERS: usize = 16 * 1024;
/// Fields of the trailer section.
const MAX_FIELDS: usize = 100;

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub struct Chunked {
    at: At,
    blanks: Blanks,
    extensions: u32,
    /// The trailer section, as far as it has come.
    section: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Blanks behind a chunk's size, with which some servers fill it up. The grammar has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blanks {
    Refused,
    Tolerated,
}

/// Why a chunked body cannot be read on.
type Fault = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size {
        digits: u8,
        size: u64,
    },
    Blank {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    End,
    /// Whoever asks again hears the same.
    Broken(Fault),
}

impl Chunked {
    pub fn new(blanks: Blanks) -> Self {
        let at = At::Size { digits: 0, size: 0 };
        Self { at, blanks, extensions: 0, section: Vec::new(), trailers: None }
    }

    pub fn is_end(&self) -> bool {
        self.at == At::End
    }

    /// Once, after the end.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// What is left of the chunk that is being read, in bytes.
    pub fn left(&self) -> Option<u64> {
        match self.at {
            At::Data(left) => Some(left),
            _ => None,
        }
    }

    /// Reads on in `bytes`, from which it takes what it has read: the next piece of content, which
    /// shares their memory where they are [`Bytes`] or [`BytesMut`](bytes::BytesMut). `None` where
    /// the body ends, or more bytes are needed.
    ///
    /// # Errors
    ///
    /// Why it cannot be read on. What good content stood ahead of that has been given out.
    pub fn decode(&mut self, bytes: &mut impl Buf) -> Result<Option<Bytes>, Fault> {
        self.skim(bytes)?;
        let At::Data(left) = self.at else { return Ok(None) };
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.remaining());
        if here == 0 {
            return Ok(None);
        }
        // `here` is at most `left`.
        let left = left - here as u64;
        self.at = if left == 0 { At::DataCr } else { At::Data(left) };
        Ok(Some(bytes.copy_to_bytes(here)))
    }

    /// Takes all that is not content off the front of `bytes`, so that an end which is here is
    /// seen.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn skim(&mut self, bytes: &mut impl Buf) -> Result<(), Fault> {
        let (mut used, here) = (0, bytes.chunk());
        while used < here.len() && !matches!(self.at, At::Data(_) | At::End | At::Broken(_)) {
            self.at = self.step(here[used]).unwrap_or_else(At::Broken);
            used += 1;
        }
        bytes.advance(used);
        if self.is_end() && !self.section.is_empty() {
            match trailers(std::mem::take(&mut self.section)) {
                Ok(trailers) => self.trailers = Some(trailers),
                Err(fault) => self.at = At::Broken(fault),
            }
        }
        match self.at {
            At::Broken(fault) => Err(fault),
            _ => Ok(()),
        }
    }

    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                if digits == 15 {
                    return Err("a chunk size has more than 15 digits");
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                Ok(At::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (At::Size { digits: 1.., size } | At::Blank { size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Size { digits: 1.., size } | At::Blank { size }, b';') => Ok(At::Extension { size }),
            (At::Size { digits: 1.., size } | At::Blank { size }, b' ' | b'\t')
                if self.blanks == Blanks::Tolerated =>
            {
                self.idle(At::Blank { size })
            }
            (At::Size { .. } | At::Blank { .. }, _) => Err("a chunk size is not a hexadecimal number"),
            (At::Extension { size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Extension { size }, _) => {
                if is_control(byte) {
                    return Err("a chunk extension holds a control character");
                }
                self.idle(At::Extension { size })
            }
            (At::SizeLf { size: 0 }, b'\n') => Ok(At::TrailerStart),
            (At::SizeLf { size }, b'\n') => Ok(At::Data(size)),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size { digits: 0, size: 0 }),
            (At::TrailerStart, b'\r') => Ok(At::LastLf),
            (At::LastLf, b'\n') => Ok(At::End),
            (At::TrailerStart | At::Trailer | At::TrailerLf, _) => self.trailer(byte),
            _ => Err("a chunk or its size does not end in CRLF"),
        }
    }

    /// Goes on to `at` with a byte that means nothing, of which there is a limit.
    fn idle(&mut self, at: At) -> Result<At, Fault> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err("the chunk extensions are longer than 16 KiB");
        }
        Ok(at)
    }

    /// The section is judged when it is whole; here only its lines are told apart.
    fn trailer(&mut self, byte: u8) -> Result<At, Fault> {
        if self.section.len() == MAX_TRAILERS {
            return Err("the trailers are longer than 16 KiB");
        }
        self.section.push(byte);
        match (self.at, byte) {
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            (At::Trailer, b'\r') => Ok(At::TrailerLf),
            (At::TrailerStart | At::Trailer, _) if !is_control(byte) => Ok(At::Trailer),
            _ => Err("a trailer holds a control character"),
        }
    }
}

/// Reads the lines of a trailer section, without the empty one behind them.
fn trailers(mut section: Vec<u8>) -> Result<HeaderMap, Fault> {
    section.extend_from_slice(b"\r\n");
    let section = Bytes::from(section);
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&section, &mut fields) else {
        return Err("its trailers are not valid, or more than 100");
    };
    let mut headers = HeaderMap::with_capacity(fields.len());
    for line in fields.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| "invalid header name")?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(line.value));
        headers.append(name, value.map_err(|_| "invalid header value")?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    /// Reads `body`, which comes in pieces of `size`: the content, or why there is none, and how
    /// many bytes were left.
    fn read(blanks: Blanks, body: &str, size: usize) -> Result<(Vec<u8>, usize), Fault> {
        let (mut chunked, mut bytes, mut content) = (Chunked::new(blanks), BytesMut::new(), Vec::new());
        for piece in body.as_bytes().chunks(size) {
            bytes.extend_from_slice(piece);
            while let Some(data) = chunked.decode(&mut bytes)? {
                content.extend(data);
            }
        }
        assert!(chunked.is_end(), "{body:?}");
        Ok((content, bytes.len()))
    }

    #[test]
    fn blanks_behind_a_size_are_tolerated_where_that_was_asked_for_alone() {
        for body in ["3  \r\nabc\r\n0\r\n\r\nGET", "3\t;x\r\nabc\r\n0 \r\n\r\nGET"] {
            for size in [1, 2, body.len()] {
                assert_eq!(read(Blanks::Tolerated, body, size), Ok((b"abc".to_vec(), 3)), "{body:?}");
                let refused = Err("a chunk size is not a hexadecimal number");
                assert_eq!(read(Blanks::Refused, body, size), refused, "{body:?}");
            }
        }
    }

    #[test]
    fn trailers_are_limited_in_number() {
        let body = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(read(Blanks::Refused, &body(100), 7), Ok((Vec::new(), 0)));
        let refused = Err("its trailers are not valid, or more than 100");
        assert_eq!(read(Blanks::Refused, &body(101), 7), refused);
    }

    /// Whoever reads over a body and sees its end keeps the connection.
    #[test]
    fn a_body_with_bad_trailers_has_no_end() {
        let mut chunked = Chunked::new(Blanks::Refused);
        let mut bytes = Bytes::from("0\r\nX : y\r\n\r\n0\r\n\r\n");
        for _ in 0..2 {
            assert_eq!(chunked.decode(&mut bytes), Err("its trailers are not valid, or more than 100"));
            assert!(!chunked.is_end() && !chunked.has_trailers());
        }
    }

    #[test]
    fn content_is_not_copied() {
        let mut bytes = Bytes::from(b"5\r\nabcde\r\n".to_vec());
        let content = bytes.as_ptr().wrapping_add(3);
        let data = Chunked::new(Blanks::Refused).decode(&mut bytes).unwrap().unwrap();
        assert_eq!((&data[..], data.as_ptr()), (&b"abcde"[..], content));
        let mut bytes = BytesMut::from(&b"5\r\nabcde\r\n"[..]);
        let content = bytes.as_ptr().wrapping_add(3);
        let data = Chunked::new(Blanks::Refused).decode(&mut bytes).unwrap().unwrap();
        assert_eq!((&data[..], data.as_ptr()), (&b"abcde"[..], content));
    }
}
