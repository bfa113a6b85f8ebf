//! Header and trailer sections of responses, as messages (RFC 9113 §8).

use http::{HeaderValue, StatusCode};

use super::fatal::{COMPRESSION, Fatal};
use super::hpack::{Decoder, Extent, Field};
use crate::message::{Fields, Name, decimal};

/// The size of a message's fields as RFC 9113 §6.5.2 counts it, and of the block that they come
/// in.
pub(super) const MAX_HEADER_LIST: usize = 64 * 1024;

/// The head of a response, or its trailers with no status.
pub(super) struct Section {
    pub(super) status: Option<StatusCode>,
    pub(super) fields: Fields,
}

/// Decodes a block; the inner error is why it makes no valid message (RFC 9113 §§8.2, 8.3).
pub(super) fn read_fields(
    decoder: &mut Decoder,
    block: &[u8],
) -> Result<Result<Section, &'static str>, Fatal> {
    let mut section = Section { status: None, fields: Fields::with_capacity(ROOM) };
    let mut fault = None;
    let whole = decoder.decode(block, MAX_HEADER_LIST, &mut |field| match field {
        Field::Status(status) => {
            let comes_first = section.fields.is_empty() && section.status.is_none();
            match status.filter(|_| comes_first) {
                Some(status) => section.status = Some(status),
                None => fault = Some("its status is not one number from 100 to 999 ahead of its fields"),
            }
        }
        Field::Pseudo => fault = Some("it has a pseudo-header field that is not of a response"),
        Field::Invalid => fault = Some("it has an invalid field"),
        Field::Header(name, value) => {
            let text = name.as_str().as_bytes();
            if is_of_connection(Name::of(text), text) {
                fault = Some("it has a field that is about a connection");
            } else {
                section.fields.append(name, value);
            }
        }
    });
    if whole.map_err(|_| COMPRESSION)? == Extent::TooLarge {
        fault = Some("its fields are larger than 64 KiB");
    }
    Ok(match fault {
        Some(fault) => Err(fault),
        None => Ok(section),
    })
}

/// Room for the fields of a small response, and for one that a proxy adds.
const ROOM: usize = 6;

/// RFC 9113 §8.2.2.
pub(super) fn is_of_connection(name: Name, text: &[u8]) -> bool {
    match name {
        Name::Connection | Name::TransferEncoding | Name::Upgrade | Name::KeepAlive => true,
        Name::Proxy => text.eq_ignore_ascii_case(b"proxy-connection"),
        _ => false,
    }
}

/// The announced length (RFC 9113 §8.1.1); a field that says the same again goes.
pub(super) fn length(fields: &mut Fields) -> Result<Option<u64>, &'static str> {
    let mut all = fields.all(Name::ContentLength);
    let Some(first) = all.next() else { return Ok(None) };
    let number = decimal(first).ok_or("its Content-Length is not one plain decimal number")?;
    let (mut is_repeated, mut differs) = (false, false);
    for other in all {
        is_repeated = true;
        differs |= other != first;
    }
    if differs {
        return Err("it has differing Content-Length fields");
    }
    if is_repeated {
        let value = HeaderValue::from_bytes(first).map_err(|_| "it has an invalid field")?;
        fields.insert_known(Name::ContentLength, value);
    }
    Ok(Some(number))
}
