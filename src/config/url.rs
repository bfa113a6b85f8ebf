//! URLs of upstreams, token endpoints and outbound proxies, parsed once.
//!
//! The rule that a token travels over TLS, or to a loopback host, is part of the types: there is
//! no [`Upstream`] and no [`HttpUrl`] that breaks it.

use std::fmt;
use std::str::FromStr;

use super::PathPrefix;
use crate::authority::{Authority, AuthorityError};
use crate::secret::Secret;

/// The base of an upstream: `scheme://authority/path`, without query, userinfo or fragment.
///
/// Plain `http` is a loopback upstream by construction: a token is not sent in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    pub scheme: Scheme,
    /// As it was configured, with the port left out where it is the scheme's own.
    pub authority: Authority,
    pub path: PathPrefix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

/// An `https` URL, or an `http` URL of a loopback host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    pub scheme: Scheme,
    pub authority: Authority,
    /// Path and query, beginning with `/`.
    pub path: Box<str>,
}

/// An outbound proxy: its address, and the credentials that its URL held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProxy {
    pub authority: Authority,
    /// `user:password`, percent-decoded.
    pub credentials: Option<Secret<String>>,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Upstream {
    pub fn port(&self) -> u16 {
        self.authority.port_or(self.scheme.default_port())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.as_str() == "/" { "" } else { self.path.as_str() };
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority)
    }
}

impl HttpUrl {
    pub fn port(&self) -> u16 {
        self.authority.port_or(self.scheme.default_port())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority, self.path)
    }
}

/// Why a text is no URL of the kind that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("it does not begin with https:// (or http://, for a loopback host)")]
    Scheme,
    #[error("plain http to a host that is not loopback would send a credential in the clear")]
    PlainHttp,
    #[error("the host is not valid: {0}")]
    Authority(#[from] AuthorityError),
    #[error("the path holds a dot segment, or a character that must be percent-encoded")]
    Path,
    #[error("a query (`?`) has no place in it")]
    Query,
    #[error("a fragment (`#`) has no place in it")]
    Fragment,
    #[error("an outbound proxy is spoken to over plain http: the URL begins with http://")]
    ProxyScheme,
    #[error("the URL of an outbound proxy has no path")]
    ProxyPath,
    #[error("the credentials are not UTF-8 once they are percent-decoded")]
    ProxyCredentials,
}

impl FromStr for Upstream {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, authority, rest) = split_url(text)?;
        let authority = credential_safe(scheme, authority)?;
        if rest.contains('?') {
            return Err(UrlError::Query);
        }
        let path = PathPrefix::new(if rest.is_empty() { "/" } else { rest }).ok_or(UrlError::Path)?;
        Ok(Self { scheme, authority: authority.without_port(scheme.default_port()), path })
    }
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, authority, rest) = split_url(text)?;
        let authority = credential_safe(scheme, authority)?;
        let plain = rest.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if !plain {
            return Err(UrlError::Path);
        }
        let path = if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() };
        Ok(Self { scheme, authority: authority.without_port(scheme.default_port()), path })
    }
}

impl FromStr for HttpProxy {
    type Err = UrlError;

    /// `http://[user:password@]host[:port]`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, authority, rest) = split_url(text).map_err(|error| match error {
            UrlError::Scheme => UrlError::ProxyScheme,
            other => other,
        })?;
        if scheme != Scheme::Http {
            return Err(UrlError::ProxyScheme);
        }
        if !matches!(rest, "" | "/") {
            return Err(UrlError::ProxyPath);
        }
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        let credentials = match userinfo.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(Secret::new(
                percent_encoding::percent_decode_str(text)
                    .decode_utf8()
                    .map_err(|_| UrlError::ProxyCredentials)?
                    .into_owned(),
            )),
        };
        Ok(Self { authority: authority.parse()?, credentials })
    }
}

/// Scheme, authority (unparsed) and what follows it.
fn split_url(text: &str) -> Result<(Scheme, &str, &str), UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return Err(UrlError::Scheme),
    };
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok((scheme, &rest[..end], &rest[end..]))
}

/// The authority, where a credential may be sent to it by this scheme.
fn credential_safe(scheme: Scheme, authority: &str) -> Result<Authority, UrlError> {
    let authority: Authority = authority.parse()?;
    if scheme == Scheme::Http && !authority.host().is_loopback() {
        return Err(UrlError::PlainHttp);
    }
    Ok(authority)
}

/// The URL as it may be shown: whatever stands before an `@` may be a password.
pub(super) fn without_userinfo(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else { return text.to_owned() };
    match before.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://***@{host}"),
        None => format!("***@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_keep_their_path_and_drop_the_scheme_s_own_port() {
        for (text, shown) in [
            ("https://API.example.no:443/v1/", "https://api.example.no/v1"),
            ("https://api.example.no:8443", "https://api.example.no:8443"),
            ("HTTPS://api.example.no/a%2Fb", "https://api.example.no/a%2Fb"),
            ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000/x"),
            ("http://app.localhost", "http://app.localhost"),
            ("http://[::1]:80/", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_would_leak_or_mislead_is_refused() {
        use AuthorityError as A;
        for (text, error) in [
            ("http://api.example.no", UrlError::PlainHttp),
            ("http://localhost.evil.com", UrlError::PlainHttp),
            ("http://169.254.169.254/", UrlError::PlainHttp),
            ("ftp://api.example.no", UrlError::Scheme),
            ("api.example.no", UrlError::Scheme),
            ("https://user:pass@api.example.no", UrlError::Authority(A::Userinfo)),
            ("https://localhost:8080@evil.com/", UrlError::Authority(A::Userinfo)),
            ("https://127.1/", UrlError::Authority(A::Ipv4)),
            ("https:///x", UrlError::Authority(A::Empty)),
            ("https://api.example.no\\@evil.com/", UrlError::Authority(A::Userinfo)),
            ("https://api.example.no/?a=b", UrlError::Query),
            ("https://api.example.no?a=b", UrlError::Query),
            ("https://api.example.no/#x", UrlError::Fragment),
            ("https://api.example.no/a/../b", UrlError::Path),
            ("https://api.example.no/a b", UrlError::Path),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(error), "{text}");
        }
    }

    #[test]
    fn endpoints_may_have_a_query_and_always_have_a_path() {
        let url: HttpUrl = "https://example.no?x=1".parse().unwrap();
        assert_eq!(&*url.path, "/?x=1");
        assert_eq!("http://example.no/token".parse::<HttpUrl>(), Err(UrlError::PlainHttp));
    }

    #[test]
    fn proxy_credentials_are_decoded_and_hidden() {
        let proxy: HttpProxy = "http://me:p%40ss@proxy.example.no:3128".parse().unwrap();
        assert_eq!(proxy.authority.to_string(), "proxy.example.no:3128");
        assert_eq!(proxy.credentials.as_ref().unwrap().expose(), "me:p@ss");
        assert!(!format!("{proxy:?}").contains("p@ss"));
        assert_eq!(without_userinfo("http://me:pass@proxy:3128/"), "http://***@proxy:3128/");
        assert_eq!(without_userinfo("me:pa:ss@proxy"), "***@proxy");
        assert_eq!("https://proxy:3128".parse::<HttpProxy>(), Err(UrlError::ProxyScheme));
        assert_eq!("proxy:3128".parse::<HttpProxy>(), Err(UrlError::ProxyScheme));
        assert_eq!("http://proxy:3128/x".parse::<HttpProxy>(), Err(UrlError::ProxyPath));
    }
}
