//! Paths: never decoded, normalised or encoded anew; only judged and moved as they are.

use bytes::Bytes;
use http::uri::PathAndQuery;

use crate::config::PathPrefix;

/// A path whose dot segments would climb out of its route's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path's dot segments climb out of the route's prefix")]
pub struct Climb;

/// The upstream's path and the request's together are longer than 65,534 bytes, or one of them
/// holds a character that no request line may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is too long once the upstream's own is put before it")]
pub struct Unjoinable;

/// Refuses a path that an upstream could resolve to a place outside its route.
///
/// `rest` is what follows the route's prefix: empty, or beginning with `/`. It is judged as a
/// lenient server would read it: `%2E`, `%2F` and `%5C` decoded once (in either case), `\` as
/// `/`, path parameters cut off (`..;x` is `..`), and empty segments not counted, since some
/// servers merge slashes. What stays inside is fine and is sent as it is. Allocates nothing.
///
/// # Errors
///
/// [`Climb`] where at any point more segments were left than entered.
pub fn check(rest: &str) -> Result<(), Climb> {
    if memchr::memchr3(b'.', b'%', b'\\', rest.as_bytes()).is_none() {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut segment = Segment::Empty;
    for byte in Lenient(rest.as_bytes()) {
        if byte == b'/' {
            depth = segment.leave(depth)?;
            segment = Segment::Empty;
        } else {
            segment = segment.grown(byte);
        }
    }
    segment.leave(depth).map(drop)
}

/// The path and query to ask the upstream for: its own path, then what follows the route's
/// prefix in `request` (from `rest_at` on), then the query, byte for byte.
///
/// Where that is what the client asked for, it is shared and not copied.
///
/// # Errors
///
/// [`Unjoinable`] where the result does not fit in a URI.
///
/// # Panics
///
/// Where `rest_at` does not lie on a character of the path.
pub fn join(
    upstream: &PathPrefix,
    request: &PathAndQuery,
    rest_at: usize,
) -> Result<PathAndQuery, Unjoinable> {
    let path = request.path();
    let (matched, rest) = path.split_at(rest_at);
    let base = if upstream.as_str() == "/" { "" } else { upstream.as_str() };
    let slash = if base.is_empty() && rest.is_empty() { "/" } else { "" };
    // `request.as_str()` has no path where the target was `http://host?query`.
    if base == matched && slash.is_empty() && request.as_str().starts_with('/') {
        return Ok(request.clone());
    }
    let query = request.query();
    let length = base.len() + slash.len() + rest.len() + query.map_or(0, |query| 1 + query.len());
    let mut joined = String::with_capacity(length);
    joined.extend([base, slash, rest]);
    if let Some(query) = query {
        joined.push('?');
        joined.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(joined)).map_err(|_| Unjoinable)
}

/// What a segment amounts to, as far as it has been read.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    Name,
    /// After a `;`: no longer changes what it is.
    Parameters {
        up: bool,
        name: bool,
    },
}

impl Segment {
    fn grown(self, byte: u8) -> Self {
        match (self, byte) {
            (parameters @ Self::Parameters { .. }, _) => parameters,
            (segment, b';') => {
                Self::Parameters { up: matches!(segment, Self::DotDot), name: matches!(segment, Self::Name) }
            }
            (Self::Empty, b'.') => Self::Dot,
            (Self::Dot, b'.') => Self::DotDot,
            _ => Self::Name,
        }
    }

    /// The depth after this segment.
    fn leave(self, depth: usize) -> Result<usize, Climb> {
        match self {
            Self::DotDot | Self::Parameters { up: true, .. } => depth.checked_sub(1).ok_or(Climb),
            Self::Name | Self::Parameters { name: true, .. } => Ok(depth + 1),
            _ => Ok(depth),
        }
    }
}

/// The bytes of a path with `%2E`, `%2F` and `%5C` decoded and `\` as `/`.
struct Lenient<'a>(&'a [u8]);

impl Iterator for Lenient<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match self.0 {
            [b'%', b'2', b'e' | b'E', rest @ ..] => (b'.', rest),
            [b'%', b'2', b'f' | b'F', rest @ ..] | [b'%', b'5', b'c' | b'C', rest @ ..] => (b'/', rest),
            [b'\\', rest @ ..] => (b'/', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(byte)
    }
}

#[cfg(test)]
mod tests;
