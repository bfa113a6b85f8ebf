//! The encoder (RFC 7541 §6), for requests.
//!
//! What repeats from request to request is indexed, and costs a byte or two from then on; the
//! access token first of all, which is most of a request. Strings go as they are: the Huffman
//! code would cost more processor time than the bytes are worth that it saves on the rest.

use std::collections::VecDeque;

use http::{HeaderValue, Method};

use super::{DEFAULT_TABLE_SIZE, FIELD_OVERHEAD, integer, statics};
use crate::message::{Field, Name};

/// First bytes, without their prefix (RFC 7541 §6).
const INDEXED: u8 = 0x80;
const INCREMENTAL: u8 = 0x40;
const TABLE_SIZE: u8 = 0x20;
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0;

/// Writes the header blocks of a connection. All of them have to be sent, in the order in which
/// they were written, or the peer's table is no longer this one.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The newest first.
    pub(super) entries: VecDeque<Entry>,
    /// Of all entries.
    pub(super) size: usize,
    capacity: usize,
    /// The capacity that the peer knows of.
    announced: usize,
    /// Where the capacity has been set since: the smallest that it has had.
    smallest: Option<usize>,
    /// Where a name is put into lower case.
    name: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The name's index in the static table; 0 is `Origin`, the only one without.
    name: u8,
    pub(super) value: HeaderValue,
    size: usize,
}

/// How a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    /// An index where the peer knows the field; else it will know it from now on.
    Incremental,
    /// The same for the access token, of which it is known that it repeats.
    Token,
    No,
    /// By no one behind us either (RFC 7541 §7.1.3).
    Never,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let capacity = DEFAULT_TABLE_SIZE;
        Self {
            entries: VecDeque::new(),
            size: 0,
            capacity,
            announced: capacity,
            smallest: None,
            name: Vec::new(),
        }
    }

    /// Follows the peer's SETTINGS_HEADER_TABLE_SIZE, up to the default. The next block says so.
    pub(crate) fn set_table_size(&mut self, size: usize) {
        self.capacity = size.min(DEFAULT_TABLE_SIZE);
        self.smallest = Some(self.smallest.map_or(self.capacity, |smallest| smallest.min(self.capacity)));
        self.evict(self.capacity);
    }

    /// Appends a request's header block to `out`. `path` is that of `:path`, so never empty.
    pub(crate) fn request<'a>(
        &mut self,
        method: &Method,
        scheme: Scheme,
        authority: &HeaderValue,
        path: &str,
        fields: impl Iterator<Item = Field<'a>>,
        out: &mut Vec<u8>,
    ) {
        self.announce(out);
        match *method {
            Method::GET => out.push(INDEXED | statics::METHOD_GET),
            Method::POST => out.push(INDEXED | statics::METHOD_POST),
            _ => literal(NOT_INDEXED, statics::METHOD_GET, b"", method.as_str().as_bytes(), out),
        }
        out.push(match scheme {
            Scheme::Http => INDEXED | statics::SCHEME_HTTP,
            Scheme::Https => INDEXED | statics::SCHEME_HTTPS,
        });
        let authority = Field { known: Name::Other, name: b"", value: authority.as_bytes(), own: None };
        self.write(Indexing::Incremental, statics::AUTHORITY, &authority, out);
        match path {
            "/" => out.push(INDEXED | statics::PATH_ROOT),
            _ => literal(NOT_INDEXED, statics::PATH_ROOT, b"", path.as_bytes(), out),
        }
        self.fields(fields, out);
    }

    /// Appends a trailer section's block to `out`.
    pub(crate) fn trailers<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        self.announce(out);
        self.fields(fields, out);
    }

    /// Begins a block with the size updates that are due (RFC 7541 §4.2): the smallest size, at
    /// which the peer has to evict as we did, and the one that is in force.
    fn announce(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.smallest.take() else { return };
        if smallest < self.capacity {
            integer::encode(smallest, 5, TABLE_SIZE, out);
        }
        if smallest < self.capacity || self.capacity != self.announced {
            integer::encode(self.capacity, 5, TABLE_SIZE, out);
        }
        self.announced = self.capacity;
    }

    fn fields<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        let mut name = std::mem::take(&mut self.name);
        for field in fields {
            name.clear();
            name.extend_from_slice(field.name);
            // RFC 9113 §8.2.1.
            name.make_ascii_lowercase();
            let index = statics::index_of(&name);
            let is_sensitive = field.own.is_some_and(HeaderValue::is_sensitive);
            self.write(indexing(index, &name, is_sensitive), index, &Field { name: &name, ..field }, out);
        }
        self.name = name;
    }

    /// `field` has its name in lower case, or none where `index` stands for it.
    fn write(&mut self, indexing: Indexing, index: u8, field: &Field<'_>, out: &mut Vec<u8>) {
        let pattern = match indexing {
            Indexing::Incremental | Indexing::Token => {
                if let Some(known) = self.find(index, field.value) {
                    return integer::encode(known, 7, INDEXED, out);
                }
                match indexing {
                    _ if self.insert(indexing, index, field) => INCREMENTAL,
                    Indexing::Token => NEVER_INDEXED,
                    _ => NOT_INDEXED,
                }
            }
            Indexing::No => NOT_INDEXED,
            Indexing::Never => NEVER_INDEXED,
        };
        literal(pattern, index, field.name, field.value, out);
    }

    /// The index of a field that is in one of the tables.
    #[inline]
    fn find(&self, name: u8, value: &[u8]) -> Option<usize> {
        // Of the fields that are looked for, the static table has but one with a value.
        if name == statics::ACCEPT_ENCODING && value == b"gzip, deflate" {
            return Some(name.into());
        }
        let is_it = |entry: &Entry| {
            let known = entry.value.as_bytes();
            // Where they are the same memory, which the token is, there is nothing to compare.
            entry.name == name && (std::ptr::eq(known, value) || known == value)
        };
        self.entries.iter().position(is_it).map(|at| statics::ENTRIES.len() + 1 + at)
    }

    /// Makes an entry of a field, unless it is too large to be one.
    fn insert(&mut self, indexing: Indexing, index: u8, field: &Field<'_>) -> bool {
        let name_length = match index {
            0 => field.name.len(),
            _ => statics::ENTRIES[usize::from(index) - 1].name_length,
        };
        let size = name_length + field.value.len() + FIELD_OVERHEAD;
        let value = match (indexing, field.own) {
            _ if size > self.capacity => return false,
            // The memory of the token is shared.
            (Indexing::Token, Some(own)) => own.clone(),
            // It would push out the token, or too much that is worth more.
            _ if size > self.capacity / 2 => return false,
            // A copy: what came with a client's request may share the memory of its whole head.
            _ => match HeaderValue::from_bytes(field.value) {
                Ok(copy) => copy,
                Err(_) => return false,
            },
        };
        self.evict(self.capacity - size);
        self.size += size;
        self.entries.push_front(Entry { name: index, value, size });
        true
    }

    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

fn indexing(index: u8, name: &[u8], is_sensitive: bool) -> Indexing {
    match index {
        // What is sensitive here is the token that this program puts on. To guess at values by
        // what blocks compress to (RFC 7541 §7.1) takes the whole value, and a token is long and
        // random. What clients put on themselves may be a password.
        statics::AUTHORIZATION if is_sensitive => Indexing::Token,
        statics::AUTHORIZATION | statics::PROXY_AUTHORIZATION | statics::COOKIE => Indexing::Never,
        _ if is_sensitive => Indexing::Never,
        statics::ACCEPT
        | statics::ACCEPT_ENCODING
        | statics::ACCEPT_LANGUAGE
        | statics::CACHE_CONTROL
        | statics::CONTENT_TYPE
        | statics::USER_AGENT
        | statics::VIA => Indexing::Incremental,
        0 if name == b"origin" => Indexing::Incremental,
        _ => Indexing::No,
    }
}

/// Writes a literal whose name is that of `index`, or `name` where that is 0.
fn literal(pattern: u8, index: u8, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let bits = if pattern == INCREMENTAL { 6 } else { 4 };
    integer::encode(index.into(), bits, pattern, out);
    if index == 0 {
        string(name, out);
    }
    string(value, out);
}

fn string(string: &[u8], out: &mut Vec<u8>) {
    integer::encode(string.len(), 7, 0, out);
    out.extend_from_slice(string);
}
