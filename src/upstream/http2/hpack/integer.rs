//! Integers (RFC 7541 §5.1): what a prefix of the first byte's low bits cannot hold goes on in
//! groups of seven bits, the lowest first.

use super::{BadBlock, TRUNCATED};

/// Bytes behind the prefix. They hold 35 bits, which is more than any length or index here; the
/// RFC asks for a limit, since zeros could go on without end.
const MAX_GROUPS: u32 = 5;

/// Takes an integer with a prefix of `bits` bits off the front of `block`.
pub(super) fn decode(block: &mut &[u8], bits: u32) -> Result<usize, BadBlock> {
    let mask = mask(bits);
    let prefix = block.split_off_first().ok_or(TRUNCATED)? & mask;
    if prefix < mask {
        return Ok(prefix.into());
    }
    let mut value = u64::from(prefix);
    for group in 0..MAX_GROUPS {
        let byte = *block.split_off_first().ok_or(TRUNCATED)?;
        value += u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| TOO_LARGE);
        }
    }
    Err(TOO_LARGE)
}

const TOO_LARGE: BadBlock = BadBlock("an integer of a header block is too large");

/// Writes `value` with a prefix of `bits` bits; `pattern` is the first byte without it.
#[inline]
pub(super) fn encode(value: usize, bits: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = mask(bits);
    if value < usize::from(mask) {
        // Less than the mask, and so than 256.
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut left = value - usize::from(mask);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

const fn mask(bits: u32) -> u8 {
    0xff >> (8 - bits)
}
