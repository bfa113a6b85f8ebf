//! [`Fields`]: the header fields of a message.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::{Line, Name};
use crate::hint::seldom;

/// Room, without memory of its own, for what a proxy puts on a message.
const USUAL_OWN: usize = 2;

/// A field that may stand once stood several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field stands on several lines")]
pub struct Repeated;

/// Header fields in their order (RFC 9110 §5.3): lines of the head that a message came with, which
/// share its memory, then fields of any other origin.
#[derive(Clone, Default)]
pub struct Fields {
    head: Bytes,
    /// Of `head`, which holds all of them.
    lines: Vec<Line>,
    own: SmallVec<[Own; USUAL_OWN]>,
    /// A bit for each [`Name`] that may be there; none for one that is not.
    names: u32,
}

/// A field that is no line of the head.
#[derive(Clone)]
struct Own {
    known: Name,
    /// Where `known` does not say it.
    other: Option<HeaderName>,
    value: HeaderValue,
}

/// One field, wherever it came from. No `Debug`: it may be a credential.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub known: Name,
    /// In any case.
    pub name: &'a [u8],
    /// Without blanks around it.
    pub value: &'a [u8],
    /// The same value, where it stands by itself; only there it can be marked as sensitive.
    pub own: Option<&'a HeaderValue>,
}

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    /// For fields that are [appended](Self::append).
    pub fn with_capacity(capacity: usize) -> Self {
        Self { own: SmallVec::with_capacity(capacity), ..Self::default() }
    }

    /// The lines that were read in `head`.
    pub fn of_lines(head: Bytes, lines: Vec<Line>) -> Self {
        let names = lines.iter().fold(0, |names, line| names | line.name.bit());
        Self { head, lines, own: SmallVec::new(), names }
    }

    /// The number of lines, of names that repeat too.
    pub fn len(&self) -> usize {
        self.lines.len() + self.own.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of `names` may be there, which are [bits](Name::bit). `false` is certain.
    #[inline]
    pub fn may_have_any(&self, names: u32) -> bool {
        self.names & names != 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let lines = self.lines.iter().map(|line| Field {
            known: line.name,
            name: line.name_in(&self.head),
            value: line.value_in(&self.head),
            own: None,
        });
        lines.chain(self.own.iter().map(Own::field))
    }

    /// The values of a field, line by line.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let (lines, own): (&[Line], &[Own]) =
            if self.may_have_any(name.bit()) { (&self.lines, &self.own) } else { (&[], &[]) };
        let lines = lines.iter().filter(move |line| line.name == name).map(|line| line.value_in(&self.head));
        lines.chain(own.iter().filter(move |own| own.known == name).map(|own| own.value.as_bytes()))
    }

    #[inline]
    pub fn has(&self, name: Name) -> bool {
        let may_have = self.may_have_any(name.bit());
        // The bit of a name that is one is taken away with its last line.
        if name.is_one() { may_have } else { may_have && self.find(name).is_some() }
    }

    /// The first value of a field.
    #[inline]
    pub fn first(&self, name: Name) -> Option<&[u8]> {
        if self.may_have_any(name.bit()) { self.find(name) } else { None }
    }

    // Out of line, here and below: most fields that are asked for are not there.
    #[inline(never)]
    fn find(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The only value of a field that may not be repeated (RFC 9110 §5.3).
    ///
    /// # Errors
    ///
    /// [`Repeated`] where there are several lines, even if they agree.
    #[inline]
    pub fn single(&self, name: Name) -> Result<Option<&[u8]>, Repeated> {
        if !self.may_have_any(name.bit()) {
            return Ok(None);
        }
        self.find_only(name)
    }

    #[inline(never)]
    fn find_only(&self, name: Name) -> Result<Option<&[u8]>, Repeated> {
        only(self.all(name))
    }

    /// The members of a list-valued field, of all its lines in order, without empty ones
    /// (RFC 9110 §5.6.1). Quoted strings are not looked into: this is for lists of tokens.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.all(name)
            .flat_map(|line| line.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// The first value of a field; it shares the head's memory.
    pub fn first_shared(&self, name: Name) -> Option<Bytes> {
        self.first(name).map(|value| self.share(value))
    }

    /// As [`all`](Self::all), for any name.
    pub fn all_named<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let known = Name::of(name.as_str().as_bytes());
        let may_have = self.may_have_any(known.bit());
        let all = may_have.then(|| self.iter()).into_iter().flatten();
        all.filter(move |field| field.known == known && field.is(name)).map(|field| field.value)
    }

    /// As [`first`](Self::first), for any name.
    pub fn first_named(&self, name: &HeaderName) -> Option<Bytes> {
        self.all_named(name).next().map(|value| self.share(value))
    }

    /// As [`single`](Self::single), for any name.
    ///
    /// # Errors
    ///
    /// [`Repeated`].
    pub fn single_named<'a>(&'a self, name: &'a HeaderName) -> Result<Option<&'a [u8]>, Repeated> {
        only(self.all_named(name))
    }

    /// Removes all lines of a field.
    #[inline]
    pub fn remove(&mut self, name: Name) {
        if self.may_have_any(name.bit()) {
            self.drop_all(name);
        }
    }

    #[inline(never)]
    fn drop_all(&mut self, name: Name) {
        self.lines.retain(|line| line.name != name);
        self.own.retain(|own| own.known != name);
        self.names &= !name.bit();
    }

    /// Removes all lines of a field of any name.
    pub fn remove_named(&mut self, name: &HeaderName) {
        let known = Name::of(name.as_str().as_bytes());
        if known.is_one() {
            self.remove(known);
        } else if self.may_have_any(known.bit()) {
            let head = &self.head;
            self.lines.retain(|line| {
                line.name != known || !line.name_in(head).eq_ignore_ascii_case(name.as_str().as_bytes())
            });
            self.own.retain(|own| own.other.as_ref() != Some(name));
        }
    }

    /// Adds a line behind all others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let known = Name::of(name.as_str().as_bytes());
        let other = if known.is_one() { None } else { Some(name) };
        self.push(Own { known, other, value });
    }

    /// As [`append`](Self::append), for a name that is [one](Name::is_one).
    pub fn append_known(&mut self, name: Name, value: HeaderValue) {
        debug_assert!(name.is_one(), "{name:?} stands for several names");
        self.push(Own { known: name, other: None, value });
    }

    fn push(&mut self, own: Own) {
        self.names |= own.known.bit();
        self.own.push(own);
    }

    /// Puts one line in place of all that there are of its name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove_named(&name);
        self.append(name, value);
    }

    /// As [`insert`](Self::insert), for a name that is [one](Name::is_one).
    pub fn insert_known(&mut self, name: Name, value: HeaderValue) {
        self.remove(name);
        self.append_known(name, value);
    }

    /// Writes the fields as HTTP/1.1 has them; of those whose names are known, the ones that `keep`
    /// lets pass. Lines of the head go as they came.
    ///
    /// None can be added through it: neither a line nor a [`HeaderValue`] holds CR or LF.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, mut keep: impl FnMut(Name, &[u8]) -> bool) {
        let head = &self.head[..];
        // Lines that stand together are copied together.
        let mut run = 0..0;
        for line in &self.lines {
            if line.name != Name::Other && !keep(line.name, line.value_in(head)) {
                continue;
            }
            let (start, end) = (line.start as usize, line.value_end as usize + 2);
            if line.is_plain && start == run.end {
                run.end = end;
                continue;
            }
            out.extend_from_slice(&head[run]);
            if line.is_plain {
                run = start..end;
            } else {
                seldom();
                run = 0..0;
                write_line(out, line.name_in(head), line.value_in(head));
            }
        }
        out.extend_from_slice(&head[run]);
        for own in &self.own {
            if own.known == Name::Other || keep(own.known, own.value.as_bytes()) {
                write_line(out, own.name(), own.value.as_bytes());
            }
        }
    }

    /// The memory of a value, shared where it is the head's.
    fn share(&self, value: &[u8]) -> Bytes {
        let head = self.head.as_ptr_range();
        if head.contains(&value.as_ptr()) {
            return self.head.slice_ref(value);
        }
        Bytes::copy_from_slice(value)
    }
}

/// Writes a line; neither name nor value may hold CR or LF.
#[inline]
pub(crate) fn write_line(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    out.extend_from_slice(name.as_ref());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The number that `digits` and nothing else make.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    number.filter(|_| !digits.is_empty())
}

/// A value as text: visible ASCII, blanks and tabs. `None` for what is beyond ASCII, of which nobody
/// knows what it means (RFC 9110 §5.5).
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

fn only<'a>(mut all: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, Repeated> {
    let first = all.next();
    if all.next().is_some() { Err(Repeated) } else { Ok(first) }
}

impl Field<'_> {
    pub fn is(&self, name: &HeaderName) -> bool {
        self.name.eq_ignore_ascii_case(name.as_str().as_bytes())
    }
}

impl Own {
    fn name(&self) -> &str {
        match &self.other {
            None => self.known.text(),
            Some(name) => name.as_str(),
        }
    }

    fn field(&self) -> Field<'_> {
        Field {
            known: self.known,
            name: self.name().as_bytes(),
            value: self.value.as_bytes(),
            own: Some(&self.value),
        }
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::with_capacity(map.len());
        let mut last = None;
        for (name, value) in map {
            // The map names a field once, ahead of all its values.
            if let Some(name) = name.or_else(|| last.clone()) {
                fields.append(name.clone(), value);
                last = Some(name);
            }
        }
        fields
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(all: T) -> Self {
        let mut fields = Self::new();
        all.into_iter().for_each(|(name, value)| fields.append(name, value));
        fields
    }
}

impl From<&Fields> for HeaderMap {
    fn from(fields: &Fields) -> Self {
        let mut map = Self::with_capacity(fields.len());
        for field in fields.iter() {
            let value = match field.own {
                Some(value) => Ok(value.clone()),
                None => HeaderValue::from_maybe_shared(fields.head.slice_ref(field.value)),
            };
            // A line holds nothing that the narrower types do not.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), value) {
                map.append(name, value);
            }
        }
        map
    }
}

/// As maps are told apart: the lines of each name, in their order.
#[cfg(test)]
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        HeaderMap::from(self) == HeaderMap::from(other)
    }
}

/// Names alone: values may be credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|field| String::from_utf8_lossy(field.name).into_owned());
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests;
