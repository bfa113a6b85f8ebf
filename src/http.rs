//! The pure parts of HTTP: functions on heads, paths and header values.
//!
//! They run on every request, so the common case allocates nothing. Nothing here opens a
//! connection, knows a route or a token, or decides who may do what.

pub mod claims;
pub mod cookie;
pub mod framing;
pub mod hop_by_hop;
pub mod location;
pub mod path;
pub mod problem;
pub mod request_id;
pub mod via;

use http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// A field that may stand once stood several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field stands on several lines")]
pub struct Repeated;

/// The only value of a field that may not be repeated (RFC 9110 §5.3).
///
/// # Errors
///
/// [`Repeated`] where there are several lines, even if they agree.
pub fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() { Err(Repeated) } else { Ok(first) }
}

/// The members of a list-valued field, of all its lines in order, without empty ones
/// (RFC 9110 §5.6.1). Quoted strings are not looked into: this is for lists of tokens.
pub fn list(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
