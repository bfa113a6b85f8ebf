//! The decoder's dynamic table (RFC 7541 §2.3.2 and §4), behind the static one in the same
//! address space.

use std::collections::VecDeque;

use http::{HeaderName, HeaderValue, StatusCode};

use super::{BadBlock, FIELD_OVERHEAD, Field, statics};

/// What a table has to know of a name.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Status,
    Pseudo,
    Header(HeaderName),
    Invalid,
}

impl Name {
    pub(super) fn read(name: &[u8]) -> Self {
        match name {
            b":status" => Self::Status,
            [b':', ..] => Self::Pseudo,
            // No token has it (RFC 9110 §5.6.2), but HeaderName lets it pass.
            _ if name.contains(&b'"') => Self::Invalid,
            _ => HeaderName::from_lowercase(name).map_or(Self::Invalid, Self::Header),
        }
    }
}

/// A field of a table. One that is not valid has its place too, so that indexes mean to us what
/// they mean to the peer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    /// In bytes, also where the name is not kept.
    pub(super) name_length: usize,
    /// `None` where it is not valid, or nobody will ask.
    pub(super) value: Option<HeaderValue>,
    pub(super) size: usize,
}

impl Entry {
    pub(super) const fn fixed(name: Name, text: &'static str, value: &'static str) -> Self {
        let size = text.len() + value.len() + FIELD_OVERHEAD;
        Self { name, name_length: text.len(), value: Some(HeaderValue::from_static(value)), size }
    }

    #[inline]
    pub(super) fn field(&self) -> Field {
        match (&self.name, &self.value) {
            (Name::Header(name), Some(value)) => Field::Header(name.clone(), value.clone()),
            (Name::Header(_) | Name::Invalid, _) => Field::Invalid,
            (Name::Status, value) => {
                let value = value.as_ref().map_or(&[][..], HeaderValue::as_bytes);
                Field::Status(StatusCode::from_bytes(value).ok())
            }
            (Name::Pseudo, _) => Field::Pseudo,
        }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// Of all entries.
    size: usize,
    /// What the peer has chosen, up to `limit`.
    capacity: usize,
    limit: usize,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, capacity: limit, limit }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> Result<&Entry, BadBlock> {
        // Of the two indexes that mean nothing, 0 wraps to one that is too large.
        let index = index.wrapping_sub(1);
        let entry = match statics::ENTRIES.get(index) {
            None => self.entries.get(index.wrapping_sub(statics::ENTRIES.len())),
            fixed => fixed,
        };
        entry.ok_or(BadBlock("a header block has an index that stands for nothing"))
    }

    pub(super) fn resize(&mut self, capacity: usize) -> Result<(), BadBlock> {
        if capacity > self.limit {
            return Err(BadBlock("a header block makes the table larger than it may be"));
        }
        self.capacity = capacity;
        self.evict(capacity);
        Ok(())
    }

    /// An entry larger than the whole table just empties it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        if entry.size > self.capacity {
            return self.clear();
        }
        self.evict(self.capacity - entry.size);
        self.size += entry.size;
        self.entries.push_front(entry);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size;
        }
    }
}
