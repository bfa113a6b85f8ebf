//! The format of `java.util.Properties` (its `load(Reader)`): separators, escapes, comments and
//! lines that go on.

use std::collections::BTreeMap;

/// A value and the line (from 1) on which its key stands.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Property {
    pub(in super::super) value: String,
    pub(in super::super) line: usize,
}

/// `\u` without four hexadecimal digits behind it, which Java refuses as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`\\u` wants four hexadecimal digits behind it")]
pub(in super::super) struct Malformed {
    pub(in super::super) line: usize,
}

/// The text of a file: UTF-8 where it is that (with or without a byte order mark), else
/// ISO-8859-1, in which every byte is the character of its number.
pub(in super::super) fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The properties of `text`; of a key that stands there twice, the last one counts.
///
/// # Errors
///
/// [`Malformed`], with its line.
pub(in super::super) fn parse(text: &str) -> Result<BTreeMap<String, Property>, Malformed> {
    let mut properties = BTreeMap::new();
    for (line, logical) in LogicalLines::new(text) {
        let (key, value) = split(&logical);
        let malformed = |_| Malformed { line };
        let key = unescape(key).map_err(malformed)?;
        properties.insert(key, Property { value: unescape(value).map_err(malformed)?, line });
    }
    Ok(properties)
}

/// Java's white space in this format; a no-break space, for one, is text.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines without comments and blank ones, those that end in an odd number of backslashes joined
/// with the next; each with the number of its first line.
struct LogicalLines<'a> {
    natural: Vec<&'a str>,
    at: usize,
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a str) -> Self {
        // \n, \r and \r\n all end a line.
        let mut natural = Vec::new();
        let mut rest = text;
        while let Some(end) = rest.find(['\n', '\r']) {
            natural.push(&rest[..end]);
            let width = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
            rest = &rest[end + width..];
        }
        natural.push(rest);
        Self { natural, at: 0 }
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.natural.get(self.at)?.trim_start_matches(is_space);
            self.at += 1;
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let begin = self.at;
            let mut logical = String::new();
            let mut part = line;
            while goes_on(part) {
                logical.push_str(&part[..part.len() - 1]);
                // What follows is part of this line whatever it looks like, a comment's `#` too.
                part = self.natural.get(self.at).copied().unwrap_or_default().trim_start_matches(is_space);
                self.at += 1;
            }
            logical.push_str(part);
            return Some((begin, logical));
        }
    }
}

/// Whether a line ends in a backslash that is not itself escaped.
fn goes_on(line: &str) -> bool {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

/// Key and value, both still escaped. The key ends at the first `=`, `:` or white space that is
/// not escaped; one `=` or `:` and the white space around it are dropped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, c)| {
            if escaped {
                escaped = false;
                return false;
            }
            escaped = *c == '\\';
            matches!(c, '=' | ':') || is_space(*c)
        })
        .map_or(line.len(), |(at, _)| at);
    let rest = line[end..].trim_start_matches(is_space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(is_space))
}

fn unescape(text: &str) -> Result<String, ()> {
    // UTF-16, since a character beyond the first plane is written as two `\u`.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = if c != '\\' {
            c
        } else {
            match chars.next() {
                Some('u') => {
                    units.push(hex(&mut chars)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            }
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn hex(chars: &mut std::str::Chars<'_>) -> Result<u16, ()> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = chars.next().and_then(|c| c.to_digit(16)).ok_or(())?;
        unit = unit * 16 + digit as u16;
    }
    Ok(unit)
}
