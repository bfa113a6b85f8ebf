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

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A field that may stand once stood several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field stands on several lines")]
pub struct Repeated;

/// Up to so many fields it costs less to compare each name than to hash the one that is asked for.
const FEW: usize = 8;

/// Whether a field is surely not there. Most of what a proxy asks for is not, in most requests.
fn is_absent(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys_len() <= FEW && !headers.keys().any(|other| other == name)
}

/// The first value of a field.
pub fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if is_absent(headers, name) { None } else { headers.get(name) }
}

/// The only value of a field that may not be repeated (RFC 9110 §5.3).
///
/// # Errors
///
/// [`Repeated`] where there are several lines, even if they agree.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Repeated> {
    let Some(first) = first(headers, name) else { return Ok(None) };
    // Where no name has a second value, this one has none.
    if headers.len() == headers.keys_len() {
        return Ok(Some(first));
    }
    match headers.get_all(name).iter().nth(1) {
        None => Ok(Some(first)),
        Some(_second) => Err(Repeated),
    }
}

/// The members of a list-valued field, of all its lines in order, without empty ones
/// (RFC 9110 §5.6.1). Quoted strings are not looked into: this is for lists of tokens.
pub fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let absent = is_absent(headers, &name);
    (!absent)
        .then(|| headers.get_all(name))
        .into_iter()
        .flatten()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
