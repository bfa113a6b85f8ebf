//! A decoder and a Huffman code that are as simple as the RFC allows, for the real ones to be
//! compared with.

use std::collections::VecDeque;

use super::super::huffman::LENGTHS;

pub(super) type Text = (Vec<u8>, Vec<u8>);

/// The codes of Appendix B, as printed there.
#[rustfmt::skip]
pub(super) const CODES: [u32; 257] = [
    0x1ff8, 0x7fffd8, 0xfffffe2, 0xfffffe3, 0xfffffe4, 0xfffffe5, 0xfffffe6, 0xfffffe7, 0xfffffe8,
    0xffffea, 0x3ffffffc, 0xfffffe9, 0xfffffea, 0x3ffffffd, 0xfffffeb, 0xfffffec, 0xfffffed, 0xfffffee,
    0xfffffef, 0xffffff0, 0xffffff1, 0xffffff2, 0x3ffffffe, 0xffffff3, 0xffffff4, 0xffffff5, 0xffffff6,
    0xffffff7, 0xffffff8, 0xffffff9, 0xffffffa, 0xffffffb, 0x14, 0x3f8, 0x3f9, 0xffa, 0x1ff9, 0x15, 0xf8,
    0x7fa, 0x3fa, 0x3fb, 0xf9, 0x7fb, 0xfa, 0x16, 0x17, 0x18, 0x0, 0x1, 0x2, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
    0x1e, 0x1f, 0x5c, 0xfb, 0x7ffc, 0x20, 0xffb, 0x3fc, 0x1ffa, 0x21, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62,
    0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0xfc,
    0x73, 0xfd, 0x1ffb, 0x7fff0, 0x1ffc, 0x3ffc, 0x22, 0x7ffd, 0x3, 0x23, 0x4, 0x24, 0x5, 0x25, 0x26,
    0x27, 0x6, 0x74, 0x75, 0x28, 0x29, 0x2a, 0x7, 0x2b, 0x76, 0x2c, 0x8, 0x9, 0x2d, 0x77, 0x78, 0x79,
    0x7a, 0x7b, 0x7ffe, 0x7fc, 0x3ffd, 0x1ffd, 0xffffffc, 0xfffe6, 0x3fffd2, 0xfffe7, 0xfffe8, 0x3fffd3,
    0x3fffd4, 0x3fffd5, 0x7fffd9, 0x3fffd6, 0x7fffda, 0x7fffdb, 0x7fffdc, 0x7fffdd, 0x7fffde, 0xffffeb,
    0x7fffdf, 0xffffec, 0xffffed, 0x3fffd7, 0x7fffe0, 0xffffee, 0x7fffe1, 0x7fffe2, 0x7fffe3, 0x7fffe4,
    0x1fffdc, 0x3fffd8, 0x7fffe5, 0x3fffd9, 0x7fffe6, 0x7fffe7, 0xffffef, 0x3fffda, 0x1fffdd, 0xfffe9,
    0x3fffdb, 0x3fffdc, 0x7fffe8, 0x7fffe9, 0x1fffde, 0x7fffea, 0x3fffdd, 0x3fffde, 0xfffff0, 0x1fffdf,
    0x3fffdf, 0x7fffeb, 0x7fffec, 0x1fffe0, 0x1fffe1, 0x3fffe0, 0x1fffe2, 0x7fffed, 0x3fffe1, 0x7fffee,
    0x7fffef, 0xfffea, 0x3fffe2, 0x3fffe3, 0x3fffe4, 0x7ffff0, 0x3fffe5, 0x3fffe6, 0x7ffff1, 0x3ffffe0,
    0x3ffffe1, 0xfffeb, 0x7fff1, 0x3fffe7, 0x7ffff2, 0x3fffe8, 0x1ffffec, 0x3ffffe2, 0x3ffffe3, 0x3ffffe4,
    0x7ffffde, 0x7ffffdf, 0x3ffffe5, 0xfffff1, 0x1ffffed, 0x7fff2, 0x1fffe3, 0x3ffffe6, 0x7ffffe0,
    0x7ffffe1, 0x3ffffe7, 0x7ffffe2, 0xfffff2, 0x1fffe4, 0x1fffe5, 0x3ffffe8, 0x3ffffe9, 0xffffffd,
    0x7ffffe3, 0x7ffffe4, 0x7ffffe5, 0xfffec, 0xfffff3, 0xfffed, 0x1fffe6, 0x3fffe9, 0x1fffe7, 0x1fffe8,
    0x7ffff3, 0x3fffea, 0x3fffeb, 0x1ffffee, 0x1ffffef, 0xfffff4, 0xfffff5, 0x3ffffea, 0x7ffff4,
    0x3ffffeb, 0x7ffffe6, 0x3ffffec, 0x3ffffed, 0x7ffffe7, 0x7ffffe8, 0x7ffffe9, 0x7ffffea, 0x7ffffeb,
    0xffffffe, 0x7ffffec, 0x7ffffed, 0x7ffffee, 0x7ffffef, 0x7fffff0, 0x3ffffee, 0x3fffffff,
];

/// Appendix A; a blank parts name and value.
const STATIC: &str = "\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate";

pub(super) fn fixed() -> Vec<Text> {
    let part = |line: &str| {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        (name.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    STATIC.lines().map(part).collect()
}

pub(super) struct Reference {
    /// The newest first.
    pub(super) entries: VecDeque<Text>,
    pub(super) capacity: usize,
    limit: usize,
    fixed: Vec<Text>,
}

impl Reference {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), capacity: limit, limit, fixed: fixed() }
    }

    /// The fields of a block, and how many of them there are if it is cut off where it gets bad.
    pub(super) fn decode(&mut self, mut block: &[u8]) -> (Vec<Text>, bool) {
        let mut fields = Vec::new();
        let mut updates = 0;
        while !block.is_empty() {
            let is_update = block[0] & 0b1110_0000 == 0b0010_0000;
            if is_update && (updates == 2 || !fields.is_empty()) {
                return (fields, false);
            }
            updates += usize::from(is_update);
            match self.step(&mut block) {
                Some(Some(field)) => fields.push(field),
                Some(None) => {}
                None => return (fields, false),
            }
        }
        (fields, true)
    }

    pub(super) fn size(&self) -> usize {
        self.entries.iter().map(size).sum()
    }

    fn step(&mut self, block: &mut &[u8]) -> Option<Option<Text>> {
        let first = block[0];
        if first & 0x80 != 0 {
            let index = integer(block, 7)?;
            return Some(Some(self.entry(index)?));
        }
        if first & 0xe0 == 0x20 {
            let size = integer(block, 5)?;
            if size > self.limit {
                return None;
            }
            self.capacity = size;
            self.evict();
            return Some(None);
        }
        let is_incremental = first & 0x40 != 0;
        let index = integer(block, if is_incremental { 6 } else { 4 })?;
        let name = if index == 0 { string(block)? } else { self.entry(index)?.0 };
        let field = (name, string(block)?);
        if is_incremental {
            self.entries.push_front(field.clone());
            self.evict();
        }
        Some(Some(field))
    }

    fn entry(&self, index: usize) -> Option<Text> {
        let index = index.checked_sub(1)?;
        self.fixed.iter().chain(&self.entries).nth(index).cloned()
    }

    fn evict(&mut self) {
        while self.size() > self.capacity {
            self.entries.pop_back();
        }
    }
}

pub(super) fn size((name, value): &Text) -> usize {
    name.len() + value.len() + 32
}

fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let mut take = || {
        let (first, rest) = block.split_first()?;
        *block = rest;
        Some(usize::from(*first))
    };
    let most = (1 << bits) - 1;
    let mut value = take()? & most;
    if value < most {
        return Some(value);
    }
    for group in 0..5 {
        let byte = take()?;
        value += (byte % 128) * 128_usize.pow(group);
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let string = block.get(..length)?;
    *block = &block[length..];
    if is_coded { huffman_decode(string) } else { Some(string.to_vec()) }
}

/// Bit by bit.
pub(super) fn huffman_decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let (mut code, mut length) = (0_u32, 0_u8);
    for at in 0..coded.len() * 8 {
        code = code << 1 | u32::from(coded[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        if let Some(symbol) = (0..257).find(|symbol| (CODES[*symbol], LENGTHS[*symbol]) == (code, length)) {
            decoded.push(u8::try_from(symbol).ok()?);
            (code, length) = (0, 0);
        }
    }
    (length < 8 && code == (1 << length) - 1).then_some(decoded)
}

pub(super) fn huffman_encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for byte in text {
        let symbol = usize::from(*byte);
        bits.extend((0..LENGTHS[symbol]).rev().map(|bit| (CODES[symbol] >> bit) as u8 & 1));
    }
    while bits.len() % 8 != 0 {
        bits.push(1);
    }
    bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}
