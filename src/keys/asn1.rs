//! ASN.1 in its basic encoding (X.690): as much of it as keystores need.
//!
//! BER and not only DER is read, since BouncyCastle, and with it KeyStore Explorer, writes
//! PKCS#12 with indefinite lengths and octet strings in pieces. Nothing is allocated on the word
//! of a length field, and nesting is bounded.

use std::borrow::Cow;

use zeroize::Zeroizing;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed: EXPLICIT, or IMPLICIT of something constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;

const CONSTRUCTED: u8 = 0x20;
const END_OF_CONTENTS: [u8; 2] = [0, 0];
/// Indefinite lengths and pieces inside each other; real files stay under ten.
const MAX_DEPTH: usize = 24;

/// Why bytes are not the structure that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asn1Error {
    /// The bytes end before the element does.
    Truncated,
    Malformed,
}

/// One element: its identifier octet, and its content without length and end-of-contents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// The whole element as it stands in the file.
    pub(super) raw: &'a [u8],
}

/// Reads elements that follow one another.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Result<Element<'a>, Asn1Error> {
        let (element, rest) = split(self.rest, MAX_DEPTH)?;
        self.rest = rest;
        Ok(element)
    }

    /// The next element, which has to be `tag`.
    pub(super) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Asn1Error> {
        let element = self.next()?;
        if element.tag == tag { Ok(element) } else { Err(Asn1Error::Malformed) }
    }

    /// The next element where it is `tag`; otherwise nothing is taken.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Asn1Error> {
        if self.rest.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// Enters the SEQUENCE that comes next.
    pub(super) fn sequence(&mut self) -> Result<Reader<'a>, Asn1Error> {
        Ok(self.expect(SEQUENCE)?.reader())
    }

    /// The next OCTET STRING, put together where it comes in pieces (X.690 §8.7).
    pub(super) fn octets(&mut self) -> Result<Cow<'a, [u8]>, Asn1Error> {
        let element = self.next()?;
        if element.tag & !CONSTRUCTED != OCTET_STRING {
            return Err(Asn1Error::Malformed);
        }
        element.octets()
    }

    /// The next INTEGER where it is small and not negative.
    pub(super) fn small_integer(&mut self) -> Result<u32, Asn1Error> {
        let content = self.expect(INTEGER)?.content;
        if content.is_empty() || content.len() > 5 || content[0] & 0x80 != 0 {
            return Err(Asn1Error::Malformed);
        }
        let value = content.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        u32::try_from(value).map_err(|_| Asn1Error::Malformed)
    }

    /// The next OBJECT IDENTIFIER in dotted form.
    pub(super) fn oid(&mut self) -> Result<String, Asn1Error> {
        dotted(self.expect(OID)?.content)
    }
}

impl<'a> Element<'a> {
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// The content as octets: itself where the element is primitive, its pieces joined where it
    /// is constructed. The tag is not looked at, so that `[0] IMPLICIT OCTET STRING` works too.
    pub(super) fn octets(&self) -> Result<Cow<'a, [u8]>, Asn1Error> {
        if self.tag & CONSTRUCTED == 0 {
            return Ok(Cow::Borrowed(self.content));
        }
        let mut joined = Vec::new();
        join(self.content, &mut joined, MAX_DEPTH)?;
        Ok(Cow::Owned(joined))
    }
}

fn join(content: &[u8], joined: &mut Vec<u8>, depth: usize) -> Result<(), Asn1Error> {
    let depth = depth.checked_sub(1).ok_or(Asn1Error::Malformed)?;
    let mut pieces = Reader::new(content);
    while !pieces.is_empty() {
        let piece = pieces.next()?;
        match piece.tag {
            OCTET_STRING => joined.extend_from_slice(piece.content),
            tag if tag == OCTET_STRING | CONSTRUCTED => join(piece.content, joined, depth)?,
            _ => return Err(Asn1Error::Malformed),
        }
    }
    Ok(())
}

fn split(bytes: &[u8], depth: usize) -> Result<(Element<'_>, &[u8]), Asn1Error> {
    let [tag, first, rest @ ..] = bytes else { return Err(Asn1Error::Truncated) };
    if tag & 0x1f == 0x1f {
        return Err(Asn1Error::Malformed); // tags above 30 stand in no keystore
    }
    if *first == 0x80 {
        return split_indefinite(bytes, *tag, rest, depth);
    }
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            if count > 4 {
                return Err(Asn1Error::Malformed);
            }
            let (digits, rest) = rest.split_at_checked(count).ok_or(Asn1Error::Truncated)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length).ok_or(Asn1Error::Truncated)?;
    let raw = &bytes[..bytes.len() - rest.len()];
    Ok((Element { tag: *tag, content, raw }, rest))
}

/// X.690 §8.1.3.6: elements up to end-of-contents.
fn split_indefinite<'a>(
    bytes: &'a [u8],
    tag: u8,
    content: &'a [u8],
    depth: usize,
) -> Result<(Element<'a>, &'a [u8]), Asn1Error> {
    let depth = depth.checked_sub(1).ok_or(Asn1Error::Malformed)?;
    if tag & CONSTRUCTED == 0 {
        return Err(Asn1Error::Malformed);
    }
    let mut rest = content;
    while !rest.starts_with(&END_OF_CONTENTS) {
        rest = split(rest, depth)?.1;
    }
    let content = &content[..content.len() - rest.len()];
    let rest = &rest[END_OF_CONTENTS.len()..];
    let raw = &bytes[..bytes.len() - rest.len()];
    Ok((Element { tag, content, raw }, rest))
}

fn dotted(content: &[u8]) -> Result<String, Asn1Error> {
    if content.is_empty() || content.len() > 64 || content.last().is_some_and(|last| last & 0x80 != 0) {
        return Err(Asn1Error::Malformed);
    }
    let mut arcs = Vec::new();
    let mut arc: u64 = 0;
    for byte in content {
        if arc >> 56 != 0 {
            return Err(Asn1Error::Malformed);
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let first = (arcs[0] / 40).min(2);
    let head = format!("{first}.{}", arcs[0] - first * 40);
    Ok(arcs[1..].iter().fold(head, |text, arc| format!("{text}.{arc}")))
}

/// Writes one DER element around `parts`. Overwritten when dropped, since keys are built of it.
pub(super) fn der(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // One allocation of the final size: growing would leave copies of a key behind.
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => out.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let skip = digits.iter().take_while(|digit| **digit == 0).count();
            out.push(0x80 | (digits.len() - skip) as u8);
            out.extend_from_slice(&digits[skip..]);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    Zeroizing::new(out)
}

/// A DER INTEGER that is not negative, from big-endian bytes.
pub(super) fn der_unsigned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[skip..];
    match digits.first() {
        Some(first) if first & 0x80 == 0 => der(INTEGER, &[digits]),
        // A leading zero, lest it be read as negative; and zero itself.
        _ => der(INTEGER, &[&[0], digits]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_definite_lengths_short_and_long() {
        let mut reader = Reader::new(&[0x02, 0x01, 0x05, 0x04, 0x81, 0x02, 0xaa, 0xbb]);
        assert_eq!(reader.small_integer(), Ok(5));
        assert_eq!(reader.octets().unwrap().as_ref(), [0xaa, 0xbb]);
        assert!(reader.is_empty());
    }

    #[test]
    fn joins_octet_strings_in_pieces_of_indefinite_length() {
        let bytes =
            [0x24, 0x80, 0x04, 0x01, 0x01, 0x24, 0x80, 0x04, 0x01, 0x02, 0, 0, 0x04, 0x01, 0x03, 0, 0];
        assert_eq!(Reader::new(&bytes).octets().unwrap().as_ref(), [1, 2, 3]);
    }

    #[test]
    fn an_element_that_is_longer_than_the_bytes_is_truncated() {
        assert_eq!(Reader::new(&[0x30, 0x82, 0xff, 0xff, 0]).next().unwrap_err(), Asn1Error::Truncated);
        assert_eq!(Reader::new(&[0x30, 0x80, 0x02]).next().unwrap_err(), Asn1Error::Truncated);
        assert_eq!(Reader::new(&[0x30]).next().unwrap_err(), Asn1Error::Truncated);
    }

    #[test]
    fn endless_nesting_is_refused_without_a_deep_stack() {
        let bytes = [0x30, 0x80].repeat(100_000);
        assert_eq!(Reader::new(&bytes).next().unwrap_err(), Asn1Error::Malformed);
    }

    #[test]
    fn writes_object_identifiers_with_dots() {
        let mut reader = Reader::new(&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
        assert_eq!(reader.oid().unwrap(), "1.2.840.113549.1.1.1");
        assert!(Reader::new(&[0x06, 0x01, 0x80]).oid().is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let bytes = der(OCTET_STRING, &[&content]);
            assert_eq!(Reader::new(&bytes).octets().unwrap().as_ref(), content);
        }
        assert_eq!(*der_unsigned(&[0, 0, 0x80]), [0x02, 0x02, 0x00, 0x80]);
        assert_eq!(*der_unsigned(&[0x7f]), [0x02, 0x01, 0x7f]);
        assert_eq!(*der_unsigned(&[]), [0x02, 0x01, 0x00]);
    }
}
