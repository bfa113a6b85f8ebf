//! The chunked coding of responses (RFC 9112 §7.1), read strictly and without copying.

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::head::{self, Fault};

/// Bytes of chunk extensions in one body; they mean nothing to a proxy.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of the trailer section.
const MAX_TRAILERS: usize = 16 * 1024;

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    extensions: u32,
    /// The trailer section, as far as it has come.
    section: Vec<u8>,
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size {
        digits: u8,
        size: u64,
    },
    /// Blanks, with which some servers fill the size up.
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
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { at: At::Size { digits: 0, size: 0 }, extensions: 0, section: Vec::new(), trailers: None }
    }

    pub(super) fn is_end(&self) -> bool {
        self.at == At::End
    }

    /// Once, after the end.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    pub(super) fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// What is left of the chunk that is being read, in bytes.
    pub(super) fn left(&self) -> Option<u64> {
        match self.at {
            At::Data(left) => Some(left),
            _ => None,
        }
    }

    /// Takes data off the front of `bytes`, after [`skim`](Self::skim).
    pub(super) fn data(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        let At::Data(left) = self.at else { return None };
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if here == 0 {
            return None;
        }
        // `here` is at most `left`.
        let left = left - here as u64;
        self.at = if left == 0 { At::DataCr } else { At::Data(left) };
        Some(bytes.split_to(here))
    }

    /// Takes all that is not data off the front of `bytes`.
    pub(super) fn skim(&mut self, bytes: &mut Bytes) -> Result<(), Fault> {
        let mut used = 0;
        while used < bytes.len() && !matches!(self.at, At::Data(_) | At::End) {
            self.at = self.step(bytes[used])?;
            used += 1;
        }
        bytes.advance(used);
        if self.is_end() && !self.section.is_empty() {
            let mut section = std::mem::take(&mut self.section);
            section.extend_from_slice(b"\r\n");
            self.trailers = Some(head::trailers(&section.into())?);
        }
        Ok(())
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
            (At::Size { digits: 1.., size } | At::Blank { size }, b' ' | b'\t') => {
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

    /// The section is judged by its parser when it is whole; here only its lines are told apart.
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

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
