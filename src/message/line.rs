//! [`Line`]: where a field stands in a head (RFC 9112 §5).

use super::Name;

/// A field line of HTTP/1.1: `field-name ":" OWS field-value OWS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins in the head. A head is far shorter than 4 GiB.
    pub(super) start: u32,
    pub(super) colon: u32,
    /// The value without the blanks around it.
    pub(super) value: u32,
    pub(super) value_end: u32,
    pub(super) name: Name,
    /// It stands in the head as it would be written: one space ahead of its value, and CRLF right
    /// behind it.
    pub(super) is_plain: bool,
}

/// Why bytes are no field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// It begins with a blank: the line before it goes on (obs-fold).
    Folded,
    Name,
    Value,
}

impl Line {
    /// Judges `head[start..end]`, a line without its end, strictly. `crlf`: that end is CRLF.
    ///
    /// # Errors
    ///
    /// Why it is no field line by RFC 9112 §5 and RFC 9110 §§5.1, 5.5.
    pub fn read(head: &[u8], start: usize, end: usize, crlf: bool) -> Result<Self, BadLine> {
        let name_end = name_end(head, start, end);
        let colon = colon(head, start, name_end, end)?;
        if first_control(&head[colon + 1..end]).is_some() {
            return Err(BadLine::Value);
        }
        Ok(Self::new(head, start, colon, end, crlf))
    }

    /// Finds the line that begins at `start`, and where the next one does. It ends in CRLF or LF.
    /// `None` where more bytes are needed.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn find(head: &[u8], start: usize) -> Result<Option<(Self, usize)>, BadLine> {
        let name_end = name_end(head, start, head.len());
        if name_end == head.len() {
            return Ok(None);
        }
        let colon = colon(head, start, name_end, head.len())?;
        let Some(value) = first_control(&head[colon + 1..]) else { return Ok(None) };
        let end = colon + 1 + value;
        match head[end..] {
            [b'\n', ..] => Ok(Some((Self::new(head, start, colon, end, false), end + 1))),
            [b'\r', b'\n', ..] => Ok(Some((Self::new(head, start, colon, end, true), end + 2))),
            [b'\r'] => Ok(None),
            _ => Err(BadLine::Value),
        }
    }

    #[inline]
    fn new(head: &[u8], start: usize, colon: usize, end: usize, crlf: bool) -> Self {
        let value = &head[colon + 1..end];
        let (from, to) = match value {
            // What nearly all are.
            [b' ', first, .., last] if !is_blank(*first) && !is_blank(*last) => (1, value.len()),
            _ => trimmed(value),
        };
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            start: at(start),
            colon: at(colon),
            value: at(colon + 1 + from),
            value_end: at(colon + 1 + to),
            name: Name::of(&head[start..colon]),
            is_plain: crlf && from == 1 && value[0] == b' ' && to == value.len(),
        }
    }

    pub fn name(&self) -> Name {
        self.name
    }

    /// The field's name as it stands in `head`.
    pub fn name_in<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.start as usize..self.colon as usize]
    }

    /// The field's value, without the blanks around it.
    pub fn value_in<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.value as usize..self.value_end as usize]
    }
}

#[inline]
fn name_end(head: &[u8], start: usize, end: usize) -> usize {
    start + head[start..end].iter().take_while(|byte| is_token(**byte)).count()
}

#[inline]
fn colon(head: &[u8], start: usize, name_end: usize, end: usize) -> Result<usize, BadLine> {
    if name_end < end && head[name_end] == b':' && name_end > start {
        return Ok(name_end);
    }
    let is_folded = name_end == start && start < end && is_blank(head[start]);
    Err(if is_folded { BadLine::Folded } else { BadLine::Name })
}

/// Where the first octet stands that no value may hold (RFC 9110 §5.5): a control character other
/// than a tab. Visible characters, spaces and obs-text are fine.
#[inline]
fn first_control(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Eight at a time, as long as there are not even tabs.
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let found = controls(*chunk);
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
    bytes[at..].iter().position(|byte| is_control(*byte)).map(|rest| at + rest)
}

/// A control character other than a tab.
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// The high bit of each of eight octets that is below 0x20 or is 0x7f; the first octet has the
/// lowest bits.
#[inline]
fn controls(chunk: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f * ONES;
    let octets = u64::from_le_bytes(chunk);
    // In seven bits, so that no octet carries into the next: 0x7f becomes 0, 0x00..=0x1f become
    // 0x01..=0x20, and all others more than that.
    let next = ((octets & LOW) + ONES) & LOW;
    let is_more = next + (0x80 - 0x21) * ONES;
    !(is_more | octets) & !LOW
}

/// RFC 9110 §5.6.2: `tchar`.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where a value begins and ends within the blanks around it.
fn trimmed(value: &[u8]) -> (usize, usize) {
    let Some(start) = value.iter().position(|b| !is_blank(*b)) else { return (0, 0) };
    let end = value.iter().rposition(|b| !is_blank(*b)).map_or(start, |last| last + 1);
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(String, String, bool), BadLine> {
        let head = format!("GET / HTTP/1.1\r\n{line}\r\n");
        let start = head.find('\n').unwrap() + 1;
        let line = Line::read(head.as_bytes(), start, head.len() - 2, true)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(line.name_in(head.as_bytes())), text(line.value_in(head.as_bytes())), line.is_plain))
    }

    #[test]
    fn a_field_is_found_within_its_line() {
        for (line, name, value, is_plain) in [
            ("Host: a", "Host", "a", true),
            ("x: a b\tc", "x", "a b\tc", true),
            ("x: \u{e6}", "x", "\u{e6}", true),
            ("x:a", "x", "a", false),
            ("x:  a", "x", "a", false),
            ("x:\ta", "x", "a", false),
            ("x: a ", "x", "a", false),
            ("x: ab\t", "x", "ab", false),
            ("x:", "x", "", false),
            ("x: ", "x", "", false),
            ("x: \t ", "x", "", false),
            ("x: :", "x", ":", true),
        ] {
            assert_eq!(read(line), Ok((name.into(), value.into(), is_plain)), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for (line, why) in [
            (" x: a", BadLine::Folded),
            ("\tx: a", BadLine::Folded),
            ("x", BadLine::Name),
            (": a", BadLine::Name),
            ("x : a", BadLine::Name),
            ("x\0: a", BadLine::Name),
            ("\u{e6}: a", BadLine::Name),
            ("x: a\rb", BadLine::Value),
            ("x: \0", BadLine::Value),
            ("x: \x7f", BadLine::Value),
        ] {
            assert_eq!(read(line), Err(why), "{line:?}");
        }
    }

    #[test]
    fn every_octet_is_judged_alike_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            let expected = matches!(octet, b'\t' | b' '..=b'~' | 0x80..);
            for at in 0..20 {
                for around in [b'a', b' ', b'!', 0x80, 0xff, b'\t'] {
                    let mut value = [around; 20];
                    value[at] = octet;
                    let found = first_control(&value);
                    assert_eq!(found, (!expected).then_some(at), "{octet:#x} at {at} in {around:#x}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_found_whole_or_waited_for_wherever_it_is_cut() {
        let head = b"GET\r\nName-1:\t a long\tvalue \xe6\r\nnext";
        let whole = Line::find(head, 5).unwrap().unwrap();
        assert_eq!(Line::read(head, 5, 28, true), Ok(whole.0));
        assert_eq!(whole.1, 30);
        for cut in 5..head.len() {
            let found = Line::find(&head[..cut], 5).unwrap();
            assert_eq!(found, (cut >= 30).then_some(whole), "cut at {cut}");
        }
        let (line, next) = Line::find(b"a: b\n", 0).unwrap().unwrap();
        assert_eq!((line.is_plain, next), (false, 5));
        for bad in [&b"a: b\rc\n"[..], b"a: \0", b"a: \x7f\n"] {
            assert_eq!(Line::find(bad, 0), Err(BadLine::Value), "{}", bad.escape_ascii());
        }
        for bad in [&b"a b: c"[..], b": c", b"a\r\n", b"a\n"] {
            assert_eq!(Line::find(bad, 0), Err(BadLine::Name), "{}", bad.escape_ascii());
        }
        assert_eq!(Line::find(b" a: b\n", 0), Err(BadLine::Folded));
    }

    #[test]
    fn a_line_with_another_end_is_not_plain() {
        let head = b"x: a\n";
        assert!(!Line::read(head, 0, 4, false).unwrap().is_plain);
    }
}
