//! Where a request is for, by its target and `Host` (RFC 9110 §7.2, RFC 9112 §3.2, RFC 9113
//! §8.3.1). They are parsed here, once, and must agree.

use http::{Method, Uri, Version};

use super::Form;
use crate::authority::{Authority, AuthorityError};
use crate::config::Scheme;
use crate::message::{Name, RequestHead, text};

/// Why target and `Host` do not say where a request is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("there are several Host fields")]
    SeveralHosts,
    #[error("there is no Host field")]
    NoHost,
    #[error("Host cannot be read: {0}")]
    Host(AuthorityError),
    /// Not four plain decimals, but what some libraries would take for an IPv4 address: a name
    /// that is nobody's.
    #[error("Host is a number that is not a plain IPv4 address")]
    NumericHost(String),
    #[error("the target's authority cannot be read: {0}")]
    Authority(AuthorityError),
    #[error("the target is for {target}, and Host says {host}")]
    Mismatch { target: Authority, host: Authority },
    #[error("the target of CONNECT is not host:port")]
    Connect,
    #[error("the target's scheme is neither http nor https")]
    Scheme,
    #[error("the target is neither a path nor an absolute URI")]
    Form,
}

/// A `Host` beyond ASCII is none (RFC 9110 §7.2).
const NOT_TEXT: TargetError = TargetError::Host(AuthorityError::Character);

/// A target as it was written; what it means depends on the listener.
#[derive(Debug)]
pub(super) enum Target {
    /// A path or `*`. No authority: HTTP/1.0 without `Host`.
    Own {
        form: Form,
        authority: Option<Authority>,
    },
    /// HTTP/2, where the proxy's own requests and forwarded ones look the same.
    Either {
        form: Form,
        scheme: Scheme,
        authority: Authority,
    },
    Absolute {
        scheme: Scheme,
        authority: Authority,
    },
    Connect {
        authority: Authority,
    },
}

/// Parses the target of a CONNECT: `host:port`, the port not left out (RFC 9110 §9.3.6).
///
/// # Errors
///
/// [`TargetError::Authority`] and, without a port, [`TargetError::Connect`].
pub fn connect_target(text: &str) -> Result<Authority, TargetError> {
    let authority: Authority = text.parse().map_err(TargetError::Authority)?;
    if authority.port().is_none() {
        return Err(TargetError::Connect);
    }
    Ok(authority)
}

impl Target {
    #[inline(always)]
    pub(super) fn read(head: &RequestHead) -> Result<Self, TargetError> {
        let host = head.fields.single(Name::Host).map_err(|_| TargetError::SeveralHosts)?;
        let uri = &head.uri;
        // RFC 9112 §3.2: 400 to an HTTP/1.1 request without Host, whatever the form.
        if host.is_none() && head.version == Version::HTTP_11 {
            return Err(TargetError::NoHost);
        }
        if head.method == Method::CONNECT {
            return Self::connect(uri, host);
        }
        if uri.scheme().is_none() && uri.authority().is_none() {
            return Self::own(head, host);
        }
        Self::absolute(head, host)
    }

    #[inline(never)]
    fn absolute(head: &RequestHead, host: Option<&[u8]>) -> Result<Self, TargetError> {
        match (head.uri.scheme_str(), head.uri.authority()) {
            (Some(scheme), Some(authority)) => {
                let scheme = match scheme {
                    "http" => Scheme::Http,
                    "https" => Scheme::Https,
                    _ => return Err(TargetError::Scheme),
                };
                let http2 = head.version == Version::HTTP_2;
                let authority = match authority.as_str().parse() {
                    Err(AuthorityError::Ipv4) if http2 => {
                        return Err(TargetError::NumericHost(authority.as_str().to_owned()));
                    }
                    parsed => parsed.map_err(TargetError::Authority)?,
                };
                agree(&authority, host, scheme.default_port())?;
                if http2 {
                    Ok(Self::Either { form: own_form(head)?, scheme, authority })
                } else {
                    Ok(Self::Absolute { scheme, authority })
                }
            }
            _ => Err(TargetError::Form),
        }
    }

    #[inline(always)]
    fn own(head: &RequestHead, host: Option<&[u8]>) -> Result<Self, TargetError> {
        let form = own_form(head)?;
        let Some(host) = host else {
            // Only HTTP/1.0 may leave the authority out altogether.
            let http2 = head.version == Version::HTTP_2;
            return if http2 { Err(TargetError::NoHost) } else { Ok(Self::Own { form, authority: None }) };
        };
        match Authority::parse_again(host) {
            Ok(authority) => Ok(Self::Own { form, authority: Some(authority) }),
            Err(AuthorityError::Ipv4) => {
                Err(TargetError::NumericHost(String::from_utf8_lossy(host).into_owned()))
            }
            Err(error) => Err(TargetError::Host(error)),
        }
    }

    #[inline(never)]
    fn connect(uri: &Uri, host: Option<&[u8]>) -> Result<Self, TargetError> {
        let authority = uri.authority().ok_or(TargetError::Connect)?;
        // `CONNECT http://host:80/`, and the extended CONNECT of HTTP/2 (RFC 8441).
        if uri.scheme().is_some() {
            return Err(TargetError::Connect);
        }
        let authority = connect_target(authority.as_str())?;
        // Some clients leave out a port in Host that they take for a scheme's own.
        let port = authority.port().filter(|port| matches!(port, 80 | 443));
        agree(&authority, host, port.unwrap_or_default())?;
        Ok(Self::Connect { authority })
    }
}

fn own_form(head: &RequestHead) -> Result<Form, TargetError> {
    match head.uri.path() {
        "*" if head.method == Method::OPTIONS => Ok(Form::Asterisk),
        path if path.starts_with('/') => Ok(Form::Origin),
        _ => Err(TargetError::Form),
    }
}

/// `Host` beside a target with an authority must say the same (RFC 9112 §3.2.2 would have it
/// ignored; a request that says two things is not worth guessing about).
fn agree(target: &Authority, host: Option<&[u8]>, default_port: u16) -> Result<(), TargetError> {
    let Some(host) = host else { return Ok(()) };
    let host: Authority = text(host).ok_or(NOT_TEXT)?.parse().map_err(TargetError::Host)?;
    if !target.agrees_with(&host, default_port) {
        return Err(TargetError::Mismatch { target: target.clone(), host });
    }
    Ok(())
}
