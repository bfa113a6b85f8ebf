//! Redaction: takes tokens, passwords and Norwegian personal numbers out of text before it is
//! written to a log or shown.
//!
//! Code that holds a secret keeps it in [`Secret`](crate::secret::Secret) and never formats it.
//! This is the second line: for paths, queries and claims, which are the user's and may hold
//! anything, and for the case that a message quotes what it should not. It never fails and never
//! lengthens a text by more than a mask.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Stands where a secret stood.
pub const MASK: &str = "***";

/// Stands where a personal number stood.
pub const MASKED_NUMBER: &str = "***********";

/// Query parameters whose values are never shown, without `_`, `-` and `.`, in lower case.
const SECRET_PARAMETERS: &[&str] = &[
    "apikey",
    "assertion",
    "auth",
    "authorization",
    "clientassertion",
    "code",
    "codeverifier",
    "credential",
    "credentials",
    "fnr",
    "fodselsnummer",
    "fødselsnummer",
    "jwt",
    "key",
    "passwd",
    "password",
    "personnummer",
    "pid",
    "pin",
    "pwd",
    "samlresponse",
    "secret",
    "session",
    "sessionid",
    "sig",
    "signature",
    "ssn",
    "subscriptionkey",
    "token",
];

/// Endings that make any parameter a secret one: `x_access_token`, `X-Amz-Signature`.
const SECRET_ENDINGS: &[&str] =
    &["token", "secret", "password", "apikey", "assertion", "signature", "credential"];

/// Claims of a token that identify a person.
const PERSONAL_CLAIMS: &[&str] = &["pid", "sub_pid", "fnr", "ssn", "personidentifier"];

/// A free text, such as a log line: JSON Web Tokens, credentials after `Bearer` and `Basic`, and
/// personal numbers are masked.
pub fn text(text: &str) -> Cow<'_, str> {
    // Nothing that is masked is shorter than a personal number.
    if text.len() < 11 {
        return Cow::Borrowed(text);
    }
    let mut ranges = tokens(text);
    ranges.extend(credentials(text));
    match replace(text, ranges, MASK) {
        Cow::Borrowed(text) => personal_numbers(text),
        Cow::Owned(text) => Cow::Owned(personal_numbers(&text).into_owned()),
    }
}

/// A path as it came: what [`text`] masks, percent-encoded digits included.
pub fn path(path: &str) -> Cow<'_, str> {
    text(path)
}

/// A query without its `?`: the values of parameters that carry secrets, and whatever [`text`]
/// masks in the rest. Order, separators and encoding of everything else stay.
pub fn query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_parameter(name) => {
                out.push_str(&text(name));
                out.push('=');
                out.push_str(MASK);
            }
            _ => out.push_str(&text(pair)),
        }
    }
    out
}

/// The claims of a token, for display: personal numbers are masked wherever they stand, and
/// claims that name a person whatever their value.
pub fn claims(claims: &mut Value) {
    match claims {
        Value::String(value) => {
            if let Cow::Owned(masked) = text(value) {
                *value = masked;
            }
        }
        Value::Number(number) => {
            if personal_numbers(&number.to_string()) == MASKED_NUMBER {
                *claims = Value::from(MASKED_NUMBER);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(self::claims),
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if PERSONAL_CLAIMS.contains(&name.to_ascii_lowercase().as_str()) && !value.is_null() {
                    *value = Value::from(MASKED_NUMBER);
                } else {
                    self::claims(value);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Masks fødselsnummer, D-numbers and synthetic numbers of Tenor: eleven digits, written together
/// or with one separator after the sixth, percent-encoded or not, whose check digits are right.
pub fn personal_numbers(text: &str) -> Cow<'_, str> {
    replace(text, numbers(text), MASKED_NUMBER)
}

/// Whether eleven digits have the two check digits of a Norwegian personal number. Dates are not
/// judged: synthetic numbers add 40, 65 or 80 to the month, D-numbers 40 to the day.
pub fn is_personal_number(digits: &[u8; 11]) -> bool {
    const FIRST: [u32; 10] = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1];
    const SECOND: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];
    let sum = |weights: &[u32]| -> u32 {
        weights.iter().zip(digits).map(|(weight, digit)| weight * u32::from(*digit)).sum()
    };
    // Numbers of the series that begins in 2032 leave 1, 2 or 3 in the first sum (Skatteetaten).
    sum(&FIRST) % 11 <= 3 && sum(&SECOND) % 11 == 0
}

fn is_secret_parameter(name: &str) -> bool {
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let plain: String = decoded
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | '+' | ' ' | '[' | ']'))
        .flat_map(char::to_lowercase)
        .collect();
    SECRET_PARAMETERS.contains(&plain.as_str()) || SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

/// Where JSON Web Tokens (or their first part) stand: `eyJ` is how base64url begins a JSON object.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&bytes[from..], b"eyJ").map(|at| from + at) {
        let end = at + run(&bytes[at..], |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if end - at >= 16 {
            found.push(at..end);
        }
        from = end;
    }
    found
}

/// Where credentials of an `Authorization` value stand (RFC 9110 §11.4, token68).
fn credentials(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for space in memchr::memchr2_iter(b' ', b'+', bytes) {
        let scheme = &bytes[space.saturating_sub(6)..space];
        let bearer = scheme.eq_ignore_ascii_case(b"bearer");
        let basic = scheme.len() >= 5 && scheme[scheme.len() - 5..].eq_ignore_ascii_case(b"basic");
        if !bearer && !basic {
            continue;
        }
        let start = space + 1;
        let length = run(&bytes[start..], |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
        });
        // Shorter runs are prose ("a Bearer token", "basic authentication").
        if (bearer && length >= 16) || (basic && length >= 8 && length % 4 == 0) {
            found.push(start..start + length);
        }
    }
    found
}

fn run(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|b| belongs(b)).count()
}

/// Where personal numbers stand.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if digit(&bytes[at..]).is_none() {
            at += 1;
            continue;
        }
        let first = Digits::read(bytes, at);
        let candidate = match first.count {
            11 => Some(first),
            6 => first.continued(bytes),
            _ => None,
        };
        match candidate {
            Some(number) if is_personal_number(&number.digits) && !in_hexadecimal(bytes, &number) => {
                found.push(at..number.end);
                at = number.end;
            }
            _ => at = first.end,
        }
    }
    found
}

/// A run of digits: the first eleven of them, how many there are, and where the run ends.
#[derive(Clone, Copy)]
struct Digits {
    digits: [u8; 11],
    count: usize,
    start: usize,
    end: usize,
}

impl Digits {
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut run = Self { digits: [0; 11], count: 0, start, end: start };
        run.extend(bytes);
        run
    }

    fn extend(&mut self, bytes: &[u8]) {
        while let Some((value, length)) = digit(&bytes[self.end..]) {
            if let Some(place) = self.digits.get_mut(self.count) {
                *place = value;
            }
            self.count += 1;
            self.end += length;
        }
    }

    /// The number that goes on after one separator: `010203 45678`.
    fn continued(mut self, bytes: &[u8]) -> Option<Self> {
        let rest = &bytes[self.end..];
        let separator = match rest.first()? {
            b' ' | b'-' | b'+' => 1,
            b'%' if matches!(rest.get(1..3)?, b"20" | b"2B" | b"2b" | b"2D" | b"2d") => 3,
            _ => return None,
        };
        self.end += separator;
        self.extend(bytes);
        (self.count == 11).then_some(self)
    }
}

/// The digit that `bytes` begin with, as it is or percent-encoded, and how many bytes it takes.
fn digit(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b @ b'0'..=b'9', ..] => Some((b - b'0', 1)),
        [b'%', b'3', b @ b'0'..=b'9', ..] => Some((b - b'0', 3)),
        _ => None,
    }
}

/// Whether the digits are part of a longer hexadecimal identifier, such as a trace id, in which
/// eleven digits can come together by chance.
fn in_hexadecimal(bytes: &[u8], number: &Digits) -> bool {
    let hex = |b: &u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    let before = bytes[..number.start].iter().rev().take_while(|b| hex(b)).count();
    let after = run(&bytes[number.end..], hex);
    before + after > 0 && before + after + 11 >= 16
}

fn replace<'a>(text: &'a str, mut ranges: Vec<Range<usize>>, mask: &str) -> Cow<'a, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        if range.start >= from {
            out.push_str(&text[from..range.start]);
            out.push_str(mask);
        }
        from = from.max(range.end);
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
