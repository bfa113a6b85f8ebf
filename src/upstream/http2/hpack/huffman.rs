//! The Huffman code of strings (RFC 7541 §5.2 and Appendix B). This only reads it: see
//! [`encode`](super::encode) for why.

/// The length of each byte's code in bits, and behind them that of EOS. The code is canonical: of
/// codes with equal length, and of the lengths, the next one counts on from the last. So this is
/// all there is to know of it.
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

const EOS: u16 = 256;
const LONGEST: usize = 30;

/// Codes up to this length, which all that is common has, are looked up at once.
const SHORT: usize = 8;
/// The lengths beyond [`SHORT`] that there are.
const LONG_LENGTHS: usize = 17;

static CODE: Code = Code::new();

struct Code {
    /// For each of the next [`SHORT`] bits, the byte that they begin with times 16, and its
    /// length; zero where the code is longer.
    short: [u16; 1 << SHORT],
    /// By length.
    long: [Long; LONG_LENGTHS],
    /// The bytes and EOS, by their codes.
    symbols: [u16; 257],
}

/// Codes of one length, as the high bits of 32.
#[derive(Clone, Copy)]
struct Long {
    first: u32,
    /// With all that may follow it.
    last: u32,
    length: u32,
    /// Where in the symbols that of the first code stands.
    at: usize,
}

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            short: [0; 1 << SHORT],
            long: [Long { first: 0, last: 0, length: 0, at: 0 }; LONG_LENGTHS],
            symbols: [0; 257],
        };
        let (mut next, mut at, mut long, mut length) = (0_u64, 0, 0, 1);
        while length <= LONGEST {
            let (first, first_at, step) = (next, at, 1 << (32 - length));
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[at] = symbol as u16;
                    if length <= SHORT {
                        let mut bits = (next >> (32 - SHORT)) as usize;
                        let end = ((next + step) >> (32 - SHORT)) as usize;
                        while bits < end {
                            code.short[bits] = (symbol << 4 | length) as u16;
                            bits += 1;
                        }
                    }
                    at += 1;
                    next += step;
                }
                symbol += 1;
            }
            if length > SHORT && at > first_at {
                let last = (next - 1) as u32;
                code.long[long] = Long { first: first as u32, last, length: length as u32, at: first_at };
                long += 1;
            }
            length += 1;
        }
        assert!(next == 1 << 32, "every sequence of bits begins with a code");
        assert!(long == LONG_LENGTHS);
        code
    }

    /// The symbol whose code `bits` begins with, and the code's length.
    #[inline(always)]
    fn read(&self, bits: u64) -> (u16, u32) {
        let short = self.short[(bits >> (64 - SHORT)) as usize];
        if short == 0 { self.read_long(bits) } else { (short >> 4, u32::from(short & 0xf)) }
    }

    #[cold]
    fn read_long(&self, bits: u64) -> (u16, u32) {
        let bits = (bits >> 32) as u32;
        for long in &self.long {
            if bits <= long.last {
                let at = long.at + ((bits - long.first) >> (32 - long.length)) as usize;
                return (self.symbols[at], long.length);
            }
        }
        (EOS, LONGEST as u32)
    }
}

/// Decodes a string into `out`, and returns its length; what goes beyond `out` is left away.
/// `None` where it is not valid: it holds EOS, or does not end in less than eight ones.
pub(super) fn decode(mut coded: &[u8], out: &mut [u8]) -> Option<usize> {
    // The next bits are the high ones; of the rest only `count` are.
    let (mut bits, mut count, mut length) = (0_u64, 0_u32, 0_usize);
    loop {
        if count < LONGEST as u32 {
            let Some((word, rest)) = coded.split_first_chunk::<4>() else { break };
            bits |= u64::from(u32::from_be_bytes(*word)) << (32 - count);
            (coded, count) = (rest, count + 32);
        }
        let (symbol, taken) = CODE.read(bits);
        if symbol == EOS {
            return None;
        }
        if let Some(place) = out.get_mut(length) {
            *place = symbol as u8;
        }
        length += 1;
        bits <<= taken;
        count -= taken;
    }
    // At most 29 bits and three bytes.
    for byte in coded {
        bits |= u64::from(*byte) << (56 - count);
        count += 8;
    }
    // As far as no bits are left, the padding goes on.
    bits |= u64::MAX >> count;
    while count >= 8 || bits != u64::MAX {
        let (symbol, taken) = CODE.read(bits);
        if symbol == EOS || taken > count {
            return None;
        }
        if let Some(place) = out.get_mut(length) {
            *place = symbol as u8;
        }
        length += 1;
        bits = !(!bits << taken);
        count -= taken;
    }
    Some(length)
}
