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
        let line = &head[..end];
        let name_end = name_end(line, start);
        let colon = colon(line, start, name_end)?;
        if first_control(line, colon + 1) < end {
            return Err(BadLine::Value);
        }
        Ok(Self::new(line, start, colon, crlf))
    }

    /// Finds the line that begins at `start`, and where the next one does. It ends in CRLF or LF.
    /// `None` where more bytes are needed.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[inline]
    pub fn find(head: &[u8], start: usize) -> Result<Option<(Self, usize)>, BadLine> {
        let name_end = name_end(head, start);
        if name_end == head.len() {
            return Ok(None);
        }
        let colon = colon(head, start, name_end)?;
        let end = first_control(head, colon + 1);
        let (crlf, next) = match head[end..] {
            [b'\r', b'\n', ..] => (true, end + 2),
            [b'\n', ..] => (false, end + 1),
            [] | [b'\r'] => return Ok(None),
            _ => return Err(BadLine::Value),
        };
        Ok(Some((Self::new(&head[..end], start, colon, crlf), next)))
    }

    /// The line that begins at `start` and ends where `head` does.
    #[inline(always)]
    fn new(head: &[u8], start: usize, colon: usize, crlf: bool) -> Self {
        let value = &head[colon + 1..];
        let (from, to) = match value {
            // What nearly all are.
            [b' ', first, .., last] if !is_blank(*first) && !is_blank(*last) => (1, value.len()),
            _ => trimmed(value),
        };
        debug_assert!(u32::try_from(head.len()).is_ok(), "heads are bounded");
        Self {
            start: start as u32,
            colon: colon as u32,
            value: (colon + 1 + from) as u32,
            value_end: (colon + 1 + to) as u32,
            name: Name::of(&head[start..colon]),
            is_plain: crlf && from == 1 && value[0] == b' ' && to == value.len(),
        }
    }

    /// The line that begins at `from`, at `to` in another head.
    #[inline]
    pub(super) fn moved(self, from: usize, to: usize) -> Self {
        let moved = |at: u32| at - from as u32 + to as u32;
        Self {
            start: moved(self.start),
            colon: moved(self.colon),
            value: moved(self.value),
            value_end: moved(self.value_end),
            ..self
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

/// Where the name ends that begins at `start`: at the first octet that belongs into none.
#[inline]
fn name_end(head: &[u8], start: usize) -> usize {
    let mut at = start;
    // Eight at a time, as long as there are letters and hyphens alone: so are nearly all names.
    while let Some(chunk) = head.get(at..).and_then(<[u8]>::first_chunk) {
        let others = others(*chunk);
        if others != 0 {
            at += others.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    while head.get(at).is_some_and(|byte| is_token(*byte)) {
        at += 1;
    }
    at
}

/// Where the colon stands behind a name, if that is one.
#[inline]
fn colon(head: &[u8], start: usize, name_end: usize) -> Result<usize, BadLine> {
    if head.get(name_end) == Some(&b':') && name_end > start {
        return Ok(name_end);
    }
    let is_folded = name_end == start && head.get(start).is_some_and(|byte| is_blank(*byte));
    Err(if is_folded { BadLine::Folded } else { BadLine::Name })
}

/// Where, from `at` on, the first octet stands that no value may hold (RFC 9110 §5.5): a control
/// character other than a tab. Visible characters, spaces and obs-text are fine.
#[inline]
fn first_control(bytes: &[u8], mut at: usize) -> usize {
    // Eight at a time, as long as there are not even tabs.
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = controls(*chunk);
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    while bytes.get(at).is_some_and(|byte| !is_control(*byte)) {
        at += 1;
    }
    at
}

/// A control character other than a tab.
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// All bits of eight octets but the high ones: what is added within them carries into no other.
const LOW: u64 = 0x7f * ONES;

/// The high bit of each of eight octets that is neither a letter nor a hyphen; the first octet has
/// the lowest bits.
#[inline]
fn others(chunk: [u8; 8]) -> u64 {
    let octets = u64::from_le_bytes(chunk);
    // In one case. Nothing but letters becomes one by this.
    let lower = (octets | (0x20 * ONES)) & LOW;
    let from_a = lower + (0x80 - u64::from(b'a')) * ONES;
    let beyond_z = lower + (0x80 - u64::from(b'z') - 1) * ONES;
    let no_hyphen = ((octets & LOW) ^ (u64::from(b'-') * ONES)) + LOW;
    ((!from_a | beyond_z) & no_hyphen | octets) & !LOW
}

/// The high bit of each of eight octets that is below 0x20 or is 0x7f, as [`others`] has it.
#[inline]
fn controls(chunk: [u8; 8]) -> u64 {
    let octets = u64::from_le_bytes(chunk);
    // In seven bits 0x7f becomes 0, 0x00..=0x1f become 0x01..=0x20, and all others more than that.
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
                    let found = first_control(&value, 0);
                    assert_eq!(found, if expected { 20 } else { at }, "{octet:#x} at {at} in {around:#x}");
                }
            }
        }
    }

    #[test]
    fn names_end_at_the_same_octets_wherever_these_stand() {
        for octet in 0..=u8::MAX {
            let expected = octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
            for at in 0..20 {
                for around in [b'a', b'Z', b'-', b'0', b'_'] {
                    let mut name = [around; 20];
                    name[at] = octet;
                    let found = name_end(&name, 0);
                    assert_eq!(found, if expected { 20 } else { at }, "{octet:#x} at {at} in {around:#x}");
                    assert_eq!(name_end(&name, 20), 20);
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
