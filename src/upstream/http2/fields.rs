//! Header and trailer sections of responses, as messages (RFC 9113 §8).

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, StatusCode};

use super::fatal::{COMPRESSION, Fatal};
use super::hpack::{Decoder, Extent, Field};
use crate::http::single;
use crate::net::field::decimal;

/// The size of a message's fields as RFC 9113 §6.5.2 counts it, and of the block that they come
/// in.
pub(super) const MAX_HEADER_LIST: usize = 64 * 1024;

/// The head of a response, or its trailers with no status.
pub(super) struct Fields {
    pub(super) status: Option<StatusCode>,
    pub(super) headers: HeaderMap,
}

/// Decodes a block; the inner error is why it makes no valid message (RFC 9113 §§8.2, 8.3).
pub(super) fn read_fields(
    decoder: &mut Decoder,
    block: &[u8],
) -> Result<Result<Fields, &'static str>, Fatal> {
    let mut fields = Fields { status: None, headers: HeaderMap::with_capacity(ROOM) };
    let mut fault = None;
    let whole = decoder.decode(block, MAX_HEADER_LIST, &mut |field| match field {
        Field::Status(status) => {
            let comes_first = fields.headers.is_empty() && fields.status.is_none();
            match status.filter(|_| comes_first) {
                Some(status) => fields.status = Some(status),
                None => fault = Some("its status is not one number from 100 to 999 ahead of its fields"),
            }
        }
        Field::Pseudo => fault = Some("it has a pseudo-header field that is not of a response"),
        Field::Invalid => fault = Some("it has an invalid field"),
        Field::Header(name, value) => {
            if is_of_connection(&name) {
                fault = Some("it has a field that is about a connection");
            } else {
                fields.headers.append(name, value);
            }
        }
    });
    if whole.map_err(|_| COMPRESSION)? == Extent::TooLarge {
        fault = Some("its fields are larger than 64 KiB");
    }
    Ok(match fault {
        Some(fault) => Err(fault),
        None => Ok(fields),
    })
}

/// Room for the fields of a small response, and for one that a proxy adds. More of it is more than
/// an allocator gives out quickly.
const ROOM: usize = 6;

/// RFC 9113 §8.2.2.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
    matches!(*name, CONNECTION | TRANSFER_ENCODING | UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// The announced length (RFC 9113 §8.1.1); a field that says the same again goes.
pub(super) fn length(headers: &mut HeaderMap) -> Result<Option<u64>, &'static str> {
    let stated = single(headers, &CONTENT_LENGTH);
    let is_repeated = stated.is_err();
    let Some(first) = stated.unwrap_or_else(|_repeated| headers.get(CONTENT_LENGTH)) else { return Ok(None) };
    let number = decimal(first.as_bytes()).ok_or("its Content-Length is not one plain decimal number")?;
    if is_repeated {
        let first = first.clone();
        if headers.get_all(CONTENT_LENGTH).iter().any(|other| *other != first) {
            return Err("it has differing Content-Length fields");
        }
        headers.insert(CONTENT_LENGTH, first);
    }
    Ok(Some(number))
}
