//! [`Listen`]: where a listener is bound.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// A Unix domain socket, made with mode 0600.
    Unix(PathBuf),
}

impl Listen {
    /// Loopback addresses and sockets can be left without a password.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The address, where it is not a socket's path.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl Listen {
    /// The port, where it is not a socket's path; 0 picks a free one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error("the port is missing, or is not a number from 0 to 65535")]
    Port,
    #[error("the host is not an IP address or `localhost`")]
    Host,
    #[error("the path of the socket is empty")]
    EmptyPath,
    #[error("Unix sockets are not to be had on this platform")]
    NoSockets,
}

impl FromStr for Listen {
    type Err = ListenError;

    /// `IP:PORT`, `[IPv6]:PORT`, `localhost:PORT` (127.0.0.1) or `unix:PATH`. No name is looked
    /// up: what is bound must not depend on DNS.
    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(ListenError::EmptyPath);
            }
            return if cfg!(unix) { Ok(Self::Unix(path.into())) } else { Err(ListenError::NoSockets) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenError::Port)?;
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ListenError::Port);
        }
        let port = port.parse().map_err(|_| ListenError::Port)?;
        if !host.eq_ignore_ascii_case("localhost") {
            return Err(ListenError::Host);
        }
        Ok(Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_sockets_are_read() {
        for (text, shown, local) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("localhost:0", "127.0.0.1:0", true),
            ("[::1]:80", "[::1]:80", true),
            ("0.0.0.0:8080", "0.0.0.0:8080", false),
            ("[::]:8080", "[::]:8080", false),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_local()), (shown, local), "{text}");
        }
        #[cfg(unix)]
        assert_eq!("unix:/run/p.sock".parse(), Ok(Listen::Unix("/run/p.sock".into())));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("8080", ListenError::Port),
            ("127.0.0.1", ListenError::Port),
            ("127.0.0.1:65536", ListenError::Port),
            ("127.0.0.1:+1", ListenError::Port),
            (":8080", ListenError::Host),
            ("*:8080", ListenError::Host),
            ("example.no:8080", ListenError::Host),
            ("unix:", ListenError::EmptyPath),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(error), "{text}");
        }
    }
}
