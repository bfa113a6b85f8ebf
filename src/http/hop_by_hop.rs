//! Fields that belong to one connection and are not forwarded (RFC 9110 §7.6.1).
//!
//! [`strip`] comes before anything is put on the message, so that no `Connection` line can name
//! away what the proxy adds (a token, `Host`, `Via`). What a `Connection` line names *is* gone
//! afterwards, so whatever the proxy itself wants to know from the client's fields (claims,
//! `Via` of a loop) is read first.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use super::list;

/// Which way a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}

/// A change of protocol that the sender asked for, or agreed to with a 101 (RFC 9110 §7.8).
///
/// `Upgrade` without `Connection: upgrade` is not one. `h2c`, `HTTP/…` and `TLS/…` are left
/// out: behind them would come requests that no guard sees. Neither HTTP/1.0 nor HTTP/2 has
/// upgrades, so the caller looks at the version before it carries one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    protocols: HeaderValue,
}

/// Removes every hop-by-hop field and tells whether an upgrade was asked for.
///
/// Removed are the fields that any `Connection` line names, `Connection`, `Keep-Alive`,
/// `Proxy-*`, `TE` (but for `trailers` in a request), `Transfer-Encoding`, `Upgrade` and
/// `HTTP2-Settings`. Two exceptions:
///
/// - `Content-Length` stays though a `Connection` line names it: it frames the message, and is
///   for every recipient. `Host` goes if it is named, since the proxy sets its own.
/// - `Proxy-Status` of a response stays; in spite of its name it is end-to-end (RFC 9209 §2).
///
/// `Trailer` is end-to-end too. To carry an upgrade out, put it back with [`Upgrade::put_on`].
pub fn strip(headers: &mut HeaderMap, direction: Direction) -> Option<Upgrade> {
    let found = Found::scan(headers, direction);
    let mut upgrade = None;
    if found.connection && is_about_connection_alone(headers) {
        headers.remove(CONNECTION);
    } else if found.connection {
        let nominated: Vec<HeaderName> = nominated(headers).collect();
        if found.upgrade && names_upgrade(headers) {
            upgrade = Upgrade::of(headers);
        }
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if found.te {
        let trailers = direction == Direction::Request && accepts_trailers(headers);
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    if found.transfer_encoding {
        headers.remove(TRANSFER_ENCODING);
    }
    if found.upgrade {
        headers.remove(UPGRADE);
    }
    for name in found.others {
        headers.remove(name);
    }
    upgrade
}

/// Removes from a trailer section what may not stand in one (RFC 9110 §6.5.1): hop-by-hop fields,
/// framing, routing and credentials. A recipient that merges trailers into the head would
/// otherwise be told things that the head was cleansed of.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, Direction::Response);
    for name in [AUTHORIZATION, CONTENT_LENGTH, HOST, TRAILER] {
        trailers.remove(name);
    }
}

/// What one pass over the names saw, so that fields that are not there cost no look-up.
#[derive(Default)]
struct Found {
    connection: bool,
    te: bool,
    transfer_encoding: bool,
    upgrade: bool,
    /// `Keep-Alive`, `HTTP2-Settings` and `Proxy-*`; mostly empty, and then not allocated.
    others: Vec<HeaderName>,
}

impl Found {
    fn scan(headers: &HeaderMap, direction: Direction) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => found.connection = true,
                "te" => found.te = true,
                "transfer-encoding" => found.transfer_encoding = true,
                "upgrade" => found.upgrade = true,
                "proxy-status" if direction == Direction::Response => {}
                "keep-alive" | "http2-settings" => found.others.push(name.clone()),
                other if other.starts_with("proxy-") => found.others.push(name.clone()),
                _ => {}
            }
        }
        found
    }
}

/// Whether `Connection` says no more than nearly all do: nothing that names a field.
fn is_about_connection_alone(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONNECTION).iter();
    let plain = |line: &HeaderValue| {
        let line = line.as_bytes();
        line.eq_ignore_ascii_case(b"keep-alive") || line.eq_ignore_ascii_case(b"close")
    };
    lines.next().is_some_and(plain) && lines.next().is_none()
}

/// The fields that `Connection` names and that nothing else here takes care of.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    list(headers, CONNECTION)
        .filter(|option| {
            let handled: [&[u8]; 4] = [b"keep-alive", b"close", b"upgrade", b"te"];
            !handled.iter().any(|name| option.eq_ignore_ascii_case(name))
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| *name != CONTENT_LENGTH)
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    list(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    list(headers, TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

impl Upgrade {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let protocols: Vec<&[u8]> = list(headers, UPGRADE).filter(|name| may_be_carried(name)).collect();
        if protocols.is_empty() {
            return None;
        }
        let protocols = HeaderValue::from_bytes(&protocols.join(&b", "[..])).ok()?;
        Some(Self { protocols })
    }

    /// The protocols, most wanted first, as the `Upgrade` field lists them.
    pub fn protocols(&self) -> &HeaderValue {
        &self.protocols
    }

    /// Puts `Connection: upgrade` and `Upgrade` on a message that carries the upgrade on.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocols.clone());
    }

    /// Whether `answer`, the upgrade of a 101, switches to nothing but what was asked for here.
    pub fn offers(&self, answer: &Self) -> bool {
        answer.names().all(|name| self.names().any(|offered| offered.eq_ignore_ascii_case(name)))
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.protocols.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
    }
}

fn may_be_carried(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    let refused: [&[u8]; 5] = [b"h2c", b"h2", b"h3", b"http", b"tls"];
    !refused.iter().any(|refused| name.eq_ignore_ascii_case(refused))
}

#[cfg(test)]
mod tests;
