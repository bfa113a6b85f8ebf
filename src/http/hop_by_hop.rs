//! Fields that belong to one connection and are not forwarded (RFC 9110 §7.6.1).
//!
//! [`strip`] comes before anything is put on the message, so that no `Connection` line can name
//! away what the proxy adds (a token, `Host`, `Via`). What a `Connection` line names *is* gone
//! afterwards, so whatever the proxy itself wants to know from the client's fields (claims,
//! `Via` of a loop) is read first.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, Name};

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
pub fn strip(fields: &mut Fields, direction: Direction) -> Option<Upgrade> {
    // Most messages have none of them.
    if !fields.may_have_any(HOP_BY_HOP) {
        return None;
    }
    strip_some(fields, direction)
}

#[inline(never)]
fn strip_some(fields: &mut Fields, direction: Direction) -> Option<Upgrade> {
    let mut upgrade = None;
    if fields.has(Name::Connection) {
        let nominated: Vec<HeaderName> = nominated(fields).collect();
        if names_upgrade(fields) {
            upgrade = Upgrade::of(fields);
        }
        for name in nominated {
            fields.remove_named(&name);
        }
        fields.remove(Name::Connection);
    }
    if fields.has(Name::Te) {
        let trailers = direction == Direction::Request && accepts_trailers(fields);
        fields.remove(Name::Te);
        if trailers {
            fields.append_known(Name::Te, HeaderValue::from_static("trailers"));
        }
    }
    for name in [
        Name::TransferEncoding,
        Name::Upgrade,
        Name::KeepAlive,
        Name::Http2Settings,
        Name::Proxy,
        Name::ProxyAuthorization,
    ] {
        fields.remove(name);
    }
    if direction == Direction::Request {
        fields.remove(Name::ProxyStatus);
    }
    upgrade
}

/// What [`strip`] looks for.
const HOP_BY_HOP: u32 = Name::Connection.bit()
    | Name::Te.bit()
    | Name::TransferEncoding.bit()
    | Name::Upgrade.bit()
    | Name::KeepAlive.bit()
    | Name::Http2Settings.bit()
    | Name::Proxy.bit()
    | Name::ProxyAuthorization.bit()
    | Name::ProxyStatus.bit();

/// Removes from a trailer section what may not stand in one (RFC 9110 §6.5.1): hop-by-hop fields,
/// framing, routing and credentials. A recipient that merges trailers into the head would
/// otherwise be told things that the head was cleansed of.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let mut fields = Fields::from(std::mem::take(trailers));
    strip(&mut fields, Direction::Response);
    for name in [Name::Authorization, Name::ContentLength, Name::Host, Name::Trailer] {
        fields.remove(name);
    }
    *trailers = HeaderMap::from(&fields);
}

/// The fields that `Connection` names and that nothing else here takes care of.
fn nominated(fields: &Fields) -> impl Iterator<Item = HeaderName> {
    fields
        .list(Name::Connection)
        .filter(|option| {
            let handled: [&[u8]; 4] = [b"keep-alive", b"close", b"upgrade", b"te"];
            !handled.iter().any(|name| option.eq_ignore_ascii_case(name))
        })
        .filter(|option| Name::of(option) != Name::ContentLength)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

fn names_upgrade(fields: &Fields) -> bool {
    fields.list(Name::Connection).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn accepts_trailers(fields: &Fields) -> bool {
    fields.list(Name::Te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

impl Upgrade {
    fn of(fields: &Fields) -> Option<Self> {
        let protocols: Vec<&[u8]> = fields.list(Name::Upgrade).filter(|name| may_be_carried(name)).collect();
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
    pub fn put_on(&self, fields: &mut Fields) {
        fields.insert_known(Name::Connection, HeaderValue::from_static("upgrade"));
        fields.insert_known(Name::Upgrade, self.protocols.clone());
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
