//! [`Authority`]: the host and port of a request or an upstream, parsed once.
//!
//! Whatever picks a route, a token, a DNS name, the TLS server name or the `Host` that is sent
//! works on this one typed value; no text is parsed a second time with other rules (a classic way
//! to make a proxy send a credential to the wrong place).

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host: a DNS name in lower case, or an IP address.
///
/// Only four plain decimals are an IPv4 address (RFC 3986 §3.2.2); `127.1` or `0x7f000001` are
/// refused, since libraries disagree about what they mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(Box<str>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// `host [":" port]` (RFC 9110 §7.2), without userinfo.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    host: Host,
    port: Option<u16>,
}

thread_local! {
    /// What [`Authority::parse_again`] has read last.
    static LAST: RefCell<Option<(Box<str>, Authority)>> = const { RefCell::new(None) };
}

/// Why a text is not an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("the host is empty")]
    Empty,
    #[error("it holds userinfo (an `@`)")]
    Userinfo,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("the host has a character that no host name holds")]
    Character,
    #[error("an IPv6 address is written in brackets, without a zone")]
    Ipv6,
    #[error("the host looks like an IPv4 address, but is not four plain decimals")]
    Ipv4,
    #[error("the host is longer than 253 characters, or a label of it than 63, or empty")]
    Length,
}

impl Authority {
    pub fn new(host: Host, port: Option<u16>) -> Self {
        Self { host, port }
    }

    /// As [`FromStr`], for texts of which one comes again and again: what a thread's clients call
    /// the proxy.
    ///
    /// # Errors
    ///
    /// Why the text is no authority.
    #[inline(always)]
    pub fn parse_again(text: &[u8]) -> Result<Self, AuthorityError> {
        LAST.with_borrow_mut(|last| {
            if let Some((known, authority)) = last
                && known.as_bytes() == text
            {
                return Ok(authority.clone());
            }
            let text = str::from_utf8(text).ok().filter(|text| text.is_ascii());
            let text = text.ok_or(AuthorityError::Character)?;
            let authority: Self = text.parse()?;
            *last = Some((text.into(), authority.clone()));
            Ok(authority)
        })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port as it was written; `None` where it was left out.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// Whether both name the same place, where a port that is left out is `default`.
    pub fn agrees_with(&self, other: &Self, default: u16) -> bool {
        self.host == other.host && self.port_or(default) == other.port_or(default)
    }

    /// The same authority with the port left out where it is the scheme's own.
    pub fn without_port(&self, default: u16) -> Self {
        Self { host: self.host.clone(), port: self.port.filter(|port| *port != default) }
    }
}

impl Host {
    /// Whether the name is loopback by its spelling alone: `localhost`, `*.localhost` (RFC 6761
    /// §6.3), 127/8, `::1`. No DNS is asked; a trailing dot makes it another name.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => *address == Ipv6Addr::LOCALHOST,
        }
    }

    /// As DNS and TLS want it: an IPv6 address without its brackets.
    pub fn to_unbracketed(&self) -> String {
        match self {
            Self::V6(address) => address.to_string(),
            _ => self.to_string(),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().into(), port: Some(address.port()) }
    }
}

impl FromStr for Host {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::Empty);
        }
        if text.contains('@') {
            return Err(AuthorityError::Userinfo);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(AuthorityError::Ipv6)?;
            return inner.parse().map(Self::V6).map_err(|_| AuthorityError::Ipv6);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            return Err(AuthorityError::Character);
        }
        let labels = text.strip_suffix('.').unwrap_or(text);
        if labels.len() > 253 || labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(AuthorityError::Length);
        }
        // The WHATWG rule: a name that ends in a number is an IPv4 address, or nothing.
        let last = labels.rsplit('.').next().unwrap_or_default();
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        if numeric {
            return text.parse().map(Self::V4).map_err(|_| AuthorityError::Ipv4);
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        plain(text).map_or_else(|| careful(text), Ok)
    }
}

/// Every authority, and what is wrong with those that are none.
fn careful(text: &str) -> Result<Authority, AuthorityError> {
    if text.contains('@') {
        return Err(AuthorityError::Userinfo);
    }
    let colon = match text.rfind(']') {
        Some(bracket) => text[bracket..].find(':').map(|at| bracket + at),
        None => text.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (&text[..at], Some(parse_port(&text[at + 1..])?)),
        None => (text, None),
    };
    Ok(Authority { host: host.parse()?, port })
}

/// What nearly every request says, read in one pass: a name in lower case whose last label begins
/// with a letter, or an IPv4 address, and perhaps a port. `None` where [`careful`] must tell
/// what it is, or what is wrong; what this one accepts, that one reads the same.
fn plain(text: &str) -> Option<Authority> {
    let mut label = 0_usize;
    let mut letter_first = false;
    let mut end = text.len();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {
                if label == 0 {
                    letter_first = byte.is_ascii_lowercase();
                }
                label += 1;
            }
            b'.' if (1..=63).contains(&label) => label = 0,
            b':' => {
                end = at;
                break;
            }
            _ => return None,
        }
    }
    let (host, port) = (&text[..end], text.get(end + 1..));
    if !(1..=63).contains(&label) || host.len() > 253 {
        return None;
    }
    let port = match port {
        Some(port) => Some(parse_port(port).ok()?),
        None => None,
    };
    let host = match letter_first {
        true => Host::Name(host.into()),
        false => Host::V4(host.parse().ok()?),
    };
    Some(Authority { host, port })
}

fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(AuthorityError::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
