//! A strict reading of the chunked coding (RFC 9112 §7.1).

use bytes::{Buf, Bytes, BytesMut};

use super::head::is_token;

/// Bytes of chunk extensions in one body; they mean nothing to a proxy.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of the trailer section.
const MAX_TRAILERS: u32 = 16 * 1024;

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub(crate) struct Chunked {
    at: At,
    extensions: u32,
    trailers: u32,
    /// The trailer section as it came.
    section: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

/// Why a chunked body cannot be read on.
pub(crate) type Fault = &'static str;

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { at: At::Size { digits: 0, size: 0 }, extensions: 0, trailers: 0, section: Vec::new() }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at == At::End
    }

    /// Reads on in `input`, from which it takes what it has read: the next piece of content.
    /// `None` where the body ends, or more bytes are needed.
    ///
    /// # Errors
    ///
    /// The first bad byte stays in `input`; what good content stood ahead of it has been given out.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        let mut used = 0;
        let outcome = loop {
            if self.at == At::End || used == input.len() {
                break Ok(None);
            }
            if let At::Data(left) = self.at {
                input.advance(used);
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                // `here` is at most `left`.
                let left = left - here as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                return Ok(Some(input.split_to(here).freeze()));
            }
            match self.step(input[used]) {
                Ok(at) => self.at = at,
                Err(fault) => break Err(fault),
            }
            if matches!(self.at, At::TrailerName | At::TrailerValue | At::TrailerLf | At::TrailerStart) {
                self.section.push(input[used]);
            }
            used += 1;
        };
        input.advance(used);
        outcome
    }

    /// The trailer section's lines, each with its CRLF, once the end is reached.
    pub(crate) fn take_section(&mut self) -> Bytes {
        // The LF of the last chunk's size stands ahead of it.
        Bytes::from(std::mem::take(&mut self.section)).slice(1..)
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
            (At::Size { digits: 1.., size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Size { digits: 1.., size }, b';') => Ok(At::Extension { size }),
            (At::Size { .. }, _) => Err("a chunk size is not a hexadecimal number"),
            (At::Extension { size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Extension { size }, _) => {
                self.extensions += 1;
                if is_control(byte) {
                    return Err("a chunk extension holds a control character");
                }
                if self.extensions > MAX_EXTENSIONS {
                    return Err("the chunk extensions are longer than 16 KiB");
                }
                Ok(At::Extension { size })
            }
            (At::SizeLf { size: 0 }, b'\n') => Ok(At::TrailerStart),
            (At::SizeLf { size }, b'\n') => Ok(At::Data(size)),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size { digits: 0, size: 0 }),
            (At::TrailerStart, b'\r') => Ok(At::LastLf),
            (At::LastLf, b'\n') => Ok(At::End),
            (At::TrailerStart | At::TrailerName | At::TrailerValue, _) => self.trailer(byte),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            _ => Err("a chunk, its size or a trailer does not end in CRLF"),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Fault> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err("the trailers are longer than 16 KiB");
        }
        match (self.at, byte) {
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if !is_control(byte) => Ok(At::TrailerValue),
            (At::TrailerValue, _) => Err("a trailer holds a control character"),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (_, _) if is_token(byte) => Ok(At::TrailerName),
            _ => Err("a trailer's name holds a character that no name holds"),
        }
    }
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
