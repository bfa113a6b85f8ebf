//! The decoder (RFC 7541 §3 and §6).

use std::ops::Range;

use bytes::BytesMut;
use http::{HeaderValue, StatusCode};

use super::table::{Entry, Name, Table};
use super::{BadBlock, DEFAULT_TABLE_SIZE, Extent, FIELD_OVERHEAD, Field, TRUNCATED, huffman, integer};

/// Reads the header blocks of a connection, all of them and in the order in which they come: also
/// those of streams that are of no interest any more.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(super) table: Table,
}

impl Decoder {
    /// For a peer that is told of no other table size than the default.
    pub(crate) fn new() -> Self {
        Self::with_table_size(DEFAULT_TABLE_SIZE)
    }

    pub(super) fn with_table_size(size: usize) -> Self {
        Self { table: Table::new(size) }
    }

    /// Reads a whole block, and hands its fields to `take` in their order, until their size (RFC
    /// 9113 §6.5.2) exceeds `limit`. What follows is read for the table's sake alone.
    ///
    /// # Errors
    ///
    /// Why the connection is of no more use. Fields ahead of that have been handed out.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        limit: usize,
        take: &mut impl FnMut(Field),
    ) -> Result<Extent, BadBlock> {
        self.resize(&mut block)?;
        let mut list = List { left: Some(limit), text: BytesMut::new() };
        while let Some(first) = block.first() {
            let literal = match first.leading_zeros() {
                0 => {
                    let entry = self.table.entry(integer::decode(&mut block, 7)?)?;
                    if list.admits(entry.size) {
                        take(entry.field());
                    }
                    continue;
                }
                1 => Literal::Incremental,
                2 => return Err(BadBlock("a header block changes the table's size behind its start")),
                3 => Literal::NeverIndexed,
                _ => Literal::NotIndexed,
            };
            self.literal(literal, &mut block, &mut list, take)?;
        }
        Ok(if list.left.is_some() { Extent::Whole } else { Extent::TooLarge })
    }

    /// The size updates that a block may begin with, of which two say all there is to say (§4.2).
    fn resize(&mut self, block: &mut &[u8]) -> Result<(), BadBlock> {
        for _ in 0..2 {
            if block.first().is_none_or(|first| first.leading_zeros() != 2) {
                break;
            }
            self.table.resize(integer::decode(block, 5)?)?;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        literal: Literal,
        block: &mut &[u8],
        list: &mut List,
        take: &mut impl FnMut(Field),
    ) -> Result<(), BadBlock> {
        let is_incremental = literal == Literal::Incremental;
        let index = integer::decode(block, if is_incremental { 6 } else { 4 })?;
        let capacity = self.table.capacity();
        if list.text.is_empty() {
            // No code is shorter than five bits. What is listed takes its room from the limit; what is
            // stored gives it back.
            let most = (block.len() / 5 + 1) * 8;
            list.text = BytesMut::zeroed(most.min(list.left.unwrap_or(0).saturating_add(capacity)));
        }
        let text = &mut list.text[..];
        let (known, name_length, start) = if index == 0 {
            let length = string(block, text)?;
            (None, length, length)
        } else {
            let entry = self.table.entry(index)?;
            (Some(entry), entry.name_length, 0)
        };
        let value_length = string(block, text.get_mut(start..).unwrap_or_default())?;
        let size = name_length + value_length + FIELD_OVERHEAD;
        let (listed, stored) = (list.admits(size), is_incremental && size <= capacity);
        // Where it is neither, there may have been no room for the text.
        if listed || stored {
            let end = start + value_length;
            let name = known.map_or_else(|| Name::read(&list.text[..start]), |entry| entry.name.clone());
            if stored {
                // A copy: a slice would keep the text of the whole block as long as the entry.
                let text = &list.text[start..end];
                let value = match name {
                    Name::Status => HeaderValue::from_bytes(text).ok(),
                    Name::Header(_) => HeaderValue::from_bytes(trim(text)).ok(),
                    Name::Pseudo | Name::Invalid => None,
                };
                let entry = Entry { name, name_length, value, size };
                if listed {
                    take(entry.field());
                }
                self.table.insert(entry);
                return Ok(());
            }
            take(list.field(name, start..end, literal == Literal::NeverIndexed));
        }
        if is_incremental {
            self.table.clear();
        }
        Ok(())
    }
}

/// How a field that is not in the tables is represented (§6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Incremental,
    NotIndexed,
    /// Nor by whoever sends the field on (§6.2.3), to whom the value's being sensitive says so.
    NeverIndexed,
}

/// The fields of a block that are handed out.
struct List {
    /// Of the limit; `None` once it is exceeded.
    left: Option<usize>,
    /// Room for the literals that are still to come, as far as they are listed or stored: their
    /// values are cut off its front, so that a block's values share one allocation.
    text: BytesMut,
}

impl List {
    /// Counts a field; whether it is to be handed out.
    #[inline]
    fn admits(&mut self, size: usize) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(size));
        self.left.is_some()
    }

    fn field(&mut self, name: Name, value: Range<usize>, is_sensitive: bool) -> Field {
        match name {
            Name::Header(name) => {
                let text = self.text.split_to(value.end).freeze();
                let text = text.slice_ref(trim(&text[value.start..]));
                let Ok(mut value) = HeaderValue::from_maybe_shared(text) else { return Field::Invalid };
                value.set_sensitive(is_sensitive);
                Field::Header(name, value)
            }
            Name::Status => Field::Status(StatusCode::from_bytes(&self.text[value]).ok()),
            Name::Pseudo => Field::Pseudo,
            Name::Invalid => Field::Invalid,
        }
    }
}

/// Takes a string (§5.2) off the front of `block`, and returns its length. What of it goes beyond
/// `text` is left away.
fn string(block: &mut &[u8], text: &mut [u8]) -> Result<usize, BadBlock> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::decode(block, 7)?;
    let string = block.split_off(..length).ok_or(TRUNCATED)?;
    if is_coded {
        return huffman::decode(string, text).ok_or(BadBlock("a header block's Huffman code is not valid"));
    }
    let fits = length.min(text.len());
    text[..fits].copy_from_slice(&string[..fits]);
    Ok(length)
}

/// Without the blanks at either end. RFC 9113 §8.2.1 has a value that has some be malformed; servers
/// send them all the same, and general clients let them pass. As in HTTP/1.1, they are no part of it.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
