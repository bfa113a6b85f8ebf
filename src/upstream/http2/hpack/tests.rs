mod decoding;
mod encoding;
mod reference;

use http::{HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{BadBlock, Decoder, Extent, Field, huffman, integer};
use reference::{CODES, Text, huffman_decode, huffman_encode};

/// What the decoder has to make of a field.
fn expected((name, value): &Text) -> Field {
    let is_token = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_text = |byte: &u8| *byte >= b' ' && *byte != 0x7f || *byte == b'\t';
    if name == b":status" {
        let digits = std::str::from_utf8(value).ok().filter(|text| text.len() == 3 && !text.starts_with('+'));
        let status = digits.and_then(|digits| digits.parse().ok()).filter(|status| *status >= 100);
        return Field::Status(status.map(|status: u16| StatusCode::from_u16(status).unwrap()));
    }
    if name.starts_with(b":") {
        return Field::Pseudo;
    }
    let is_name = !name.is_empty() && name.iter().all(is_token);
    if !is_name || !value.iter().all(is_text) {
        return Field::Invalid;
    }
    Field::Header(HeaderName::from_bytes(name).unwrap(), HeaderValue::from_bytes(value.trim_ascii()).unwrap())
}

fn text(name: &str, value: &str) -> Text {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn decode(decoder: &mut Decoder, block: &[u8], limit: usize) -> (Vec<Field>, Result<Extent, BadBlock>) {
    let mut fields = Vec::new();
    let extent = decoder.decode(block, limit, &mut |field| fields.push(field));
    (fields, extent)
}

#[test]
fn the_huffman_code_is_that_of_the_rfc() {
    let mut symbols: Vec<usize> = (0..257).collect();
    symbols.sort_by_key(|symbol| (huffman::LENGTHS[*symbol], *symbol));
    let (mut next, mut length) = (0_u64, 0);
    for symbol in symbols {
        next <<= huffman::LENGTHS[symbol] - length;
        length = huffman::LENGTHS[symbol];
        assert_eq!(u64::from(CODES[symbol]), next, "{symbol}");
        next += 1;
    }
    assert_eq!(next, 1 << length, "Kraft");
}

#[test]
fn every_byte_is_decoded_at_every_offset() {
    for byte in 0..=u8::MAX {
        for ahead in ["", "0", "&", "~~0", "00000000"] {
            let text = [ahead.as_bytes(), &[byte], b"a"].concat();
            let mut out = [0; 16];
            let length = huffman::decode(&huffman_encode(&text), &mut out);
            assert_eq!(length.map(|length| &out[..length]), Some(&text[..]));
        }
    }
}

#[test]
fn huffman_padding_is_less_than_a_byte_of_ones_and_eos_is_refused() {
    let decode = |coded: &[u8]| huffman::decode(coded, &mut [0; 64]);
    assert_eq!(decode(&[]), Some(0));
    // `0` is 00000, `&` 11111000.
    assert_eq!(decode(&[0b0000_0111]), Some(1));
    for bad in [0b0000_0000, 0b0000_0110, 0b0000_0011, 0b0000_0101] {
        assert_eq!(decode(&[bad]), None, "{bad:b}");
    }
    assert_eq!(decode(&[0b1111_1000]), Some(1));
    assert_eq!(decode(&[0b1111_1000, 0xff]), None);
    assert_eq!(decode(&[0xff]), None);
    assert_eq!(decode(&[0b0000_0111, 0xff]), None);
    assert_eq!(decode(&[0xff; 3]), None);
    // EOS alone, and between bytes, in the last word and ahead of it.
    assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None);
    assert_eq!(decode(&[0b0000_0111, 0xff, 0xff, 0xff, 0b1110_0000, 0b0111_1111]), None);
    assert_eq!(decode(&[[0xff; 4].as_slice(), &[0; 12]].concat()), None);
}

#[test]
fn integers_are_those_of_the_rfc() {
    // Appendix C.1.
    for (value, bits, bytes) in [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42])] {
        let mut out = Vec::new();
        integer::encode(value, bits, 0, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(integer::decode(&mut &bytes[..], bits), Ok(value));
    }
    // Bits ahead of the prefix are none of its business.
    assert_eq!(integer::decode(&mut &[0b1110_1010][..], 5), Ok(10));
}

#[test]
fn an_integer_has_a_limit_and_an_end() {
    let decode = |bytes: &[u8]| integer::decode(&mut &bytes[..], 7);
    let too_large = Err(BadBlock("an integer of a header block is too large"));
    let truncated = Err(super::TRUNCATED);
    assert_eq!(decode(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f]), Ok(127 + (1 << 35) - 1));
    assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00]), Ok(127));
    assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), too_large);
    assert_eq!(decode(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), too_large);
    assert_eq!(decode(&[]), truncated);
    assert_eq!(decode(&[0x7f]), truncated);
    assert_eq!(decode(&[0x7f, 0x80, 0x80]), truncated);
}

proptest! {
    #[test]
    fn an_integer_is_read_as_it_was_written(value in 0..1_usize << 35, shift in 0..35, bits in 4..=8_u32) {
        let (value, mut out) = (value >> shift, Vec::new());
        integer::encode(value, bits, 0, &mut out);
        let mut block = &out[..];
        prop_assert_eq!(integer::decode(&mut block, bits), Ok(value));
        prop_assert!(block.is_empty());
    }

    /// Anything, what is valid, and what nearly is.
    #[test]
    fn huffman_is_decoded_as_bit_by_bit(
        any in prop::collection::vec(any::<u8>(), 0..40),
        text in prop::collection::vec(any::<u8>(), 0..40),
        flip in any::<prop::sample::Index>(),
        room in 0..60_usize,
    ) {
        let coded = huffman_encode(&text);
        prop_assert_eq!(huffman_decode(&coded), Some(text));
        let mut nearly = coded.clone();
        if !nearly.is_empty() {
            let bit = flip.index(nearly.len() * 8);
            nearly[bit / 8] ^= 1 << (bit % 8);
        }
        for coded in [any, coded, nearly] {
            let mut out = vec![0; room];
            let length = huffman::decode(&coded, &mut out);
            let reference = huffman_decode(&coded);
            prop_assert_eq!(length, reference.as_ref().map(Vec::len));
            if let Some(reference) = reference {
                let fits = room.min(reference.len());
                prop_assert_eq!(&out[..fits], &reference[..fits]);
            }
        }
    }
}
