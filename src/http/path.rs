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
/// servers merge slashes. Other servers decode less, and for them `a%2Fb` is one segment and not
/// two: so what stands between two real slashes is entered once at most, however many names an
/// encoded slash makes of it. What stays inside is fine and is sent as it is. Allocates nothing.
///
/// # Errors
///
/// [`Climb`] where at any point more segments were left than entered.
pub fn check(rest: &str) -> Result<(), Climb> {
    if rest.bytes().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) { check_segments(rest) } else { Ok(()) }
}

#[inline(never)]
fn check_segments(rest: &str) -> Result<(), Climb> {
    let mut depth = 0_usize;
    let mut segment = Segment::Empty;
    // Whether something between the last real slash and here has been entered.
    let mut entered = false;
    for piece in Lenient(rest.as_bytes()) {
        let Piece::Separator { real } = piece else {
            segment = segment.grown(piece);
            continue;
        };
        depth = segment.leave(depth, entered)?;
        entered = !real && (entered || segment.is_entered());
        segment = Segment::Empty;
    }
    segment.leave(depth, entered).map(drop)
}

/// The path and query to ask the upstream for: its own path, then what follows the route's
/// prefix in `request` (from `rest_at` on), then the query, byte for byte.
///
/// `None` where that is what the client asked for.
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
) -> Result<Option<PathAndQuery>, Unjoinable> {
    let path = request.path();
    let (matched, rest) = path.split_at(rest_at);
    let base = if upstream.as_str() == "/" { "" } else { upstream.as_str() };
    let slash = if base.is_empty() && rest.is_empty() { "/" } else { "" };
    // `request.as_str()` has no path where the target was `http://host?query`.
    if base == matched && slash.is_empty() && request.as_str().starts_with('/') {
        return Ok(None);
    }
    put_together(base, slash, rest, request.query()).map(Some)
}

#[inline(never)]
fn put_together(
    base: &str,
    slash: &str,
    rest: &str,
    query: Option<&str>,
) -> Result<PathAndQuery, Unjoinable> {
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
    fn grown(self, piece: Piece) -> Self {
        match (self, piece) {
            (parameters @ Self::Parameters { .. }, _) => parameters,
            (segment, Piece::Semicolon) => {
                Self::Parameters { up: matches!(segment, Self::DotDot), name: matches!(segment, Self::Name) }
            }
            (Self::Empty, Piece::Dot) => Self::Dot,
            (Self::Dot, Piece::Dot) => Self::DotDot,
            _ => Self::Name,
        }
    }

    /// The depth after this segment, which counts only if nothing beside it was `entered`.
    fn leave(self, depth: usize, entered: bool) -> Result<usize, Climb> {
        match self {
            Self::DotDot | Self::Parameters { up: true, .. } => depth.checked_sub(1).ok_or(Climb),
            Self::Name | Self::Parameters { name: true, .. } if !entered => Ok(depth + 1),
            _ => Ok(depth),
        }
    }

    /// Whether no other segment may count up to the next real slash: behind a name, and behind
    /// parameters, to which some servers count encoded slashes.
    fn is_entered(self) -> bool {
        matches!(self, Self::Name | Self::Parameters { .. })
    }
}

/// What a byte of a path, or an escape, is to a lenient server.
#[derive(Clone, Copy)]
enum Piece {
    /// `/`, or `real: false`: what only some servers take for one.
    Separator {
        real: bool,
    },
    Dot,
    Semicolon,
    Other,
}

/// A path with `%2E`, `%2F` and `%5C` decoded once.
struct Lenient<'a>(&'a [u8]);

impl Iterator for Lenient<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (piece, rest) = match self.0 {
            [b'%', b'2', b'e' | b'E', rest @ ..] | [b'.', rest @ ..] => (Piece::Dot, rest),
            [b'%', b'2', b'f' | b'F', rest @ ..]
            | [b'%', b'5', b'c' | b'C', rest @ ..]
            | [b'\\', rest @ ..] => (Piece::Separator { real: false }, rest),
            [b'/', rest @ ..] => (Piece::Separator { real: true }, rest),
            [b';', rest @ ..] => (Piece::Semicolon, rest),
            [_, rest @ ..] => (Piece::Other, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests;
