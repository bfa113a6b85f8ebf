//! [`Route`]: which requests go where, and what their token is asked for.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::{Client, Upstream};
use crate::authority::Host;

/// Which requests go where, with which token.
#[derive(PartialEq, Eq)]
pub struct Route {
    pub name: String,
    pub path: PathPrefix,
    /// `None`: every method. `GET` takes `HEAD` along.
    pub methods: Option<Vec<Method>>,
    pub host: Option<Host>,
    pub upstream: Upstream,
    pub client: Arc<Client>,
    /// At least one.
    pub scopes: Vec<String>,
    pub resource: Vec<String>,
    pub consumer_org: Option<ClaimSource>,
    pub pid: Option<ClaimSource>,
    pub systemuser_org: Option<ClaimSource>,
    pub systemuser_external_ref: Option<String>,
    /// Raw `authorization_details` (RFC 9396), in place of `systemuser_org`.
    pub authorization_details: Option<serde_json::Value>,
    pub exchange: Option<Exchange>,
    pub access: Access,
}

/// What a token is asked for: the client and the claims of its grant, some of which may come with
/// the request.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantTemplate {
    pub client: Arc<Client>,
    /// At least one.
    pub scopes: Vec<String>,
    pub resource: Vec<String>,
    pub consumer_org: Option<ClaimSource>,
    pub pid: Option<ClaimSource>,
    pub systemuser_org: Option<ClaimSource>,
    pub systemuser_external_ref: Option<String>,
    /// Raw `authorization_details` (RFC 9396), in place of `systemuser_org`.
    pub authorization_details: Option<serde_json::Value>,
    pub exchange: Option<Exchange>,
}

/// A path prefix on whole segments: `/`, or `/a/b` without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Box<str>);

/// Where the value of a claim comes from. `Debug` shows no value, for one may be a person's number.
#[derive(Clone, PartialEq, Eq)]
pub enum ClaimSource {
    Fixed(String),
    /// A request header, which is not forwarded; `allow` bounds its values.
    Header {
        name: HeaderName,
        allow: Option<Vec<String>>,
    },
}

/// A service that the Maskinporten token is swapped at before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    Altinn,
}

/// What a route lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// GET, HEAD and OPTIONS alone.
    ReadOnly,
    ReadWrite,
}

impl PathPrefix {
    /// `text` begins with `/` and holds no query, fragment, control or non-ASCII character, and
    /// no dot segment; a slash at the end is dropped.
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'));
        let dots = text.split('/').any(|segment| matches!(segment, "." | ".."));
        if !text.starts_with('/') || !plain || dots {
            return None;
        }
        let trimmed = text.trim_end_matches('/');
        Some(Self(if trimmed.is_empty() { "/" } else { trimmed }.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What of `path` (no query) comes after the prefix: empty, or beginning with `/`.
    /// `None` where the prefix does not match on a whole segment.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        if &*self.0 == "/" {
            return path.starts_with('/').then_some(path);
        }
        let rest = path.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Route {
    /// What the route's token is asked for.
    pub fn grant(&self) -> GrantTemplate {
        GrantTemplate {
            client: self.client.clone(),
            scopes: self.scopes.clone(),
            resource: self.resource.clone(),
            consumer_org: self.consumer_org.clone(),
            pid: self.pid.clone(),
            systemuser_org: self.systemuser_org.clone(),
            systemuser_external_ref: self.systemuser_external_ref.clone(),
            authorization_details: self.authorization_details.clone(),
            exchange: self.exchange,
        }
    }

    /// Whether the token is the same for every request, so that it can be fetched ahead.
    pub fn has_fixed_claims(&self) -> bool {
        ![&self.consumer_org, &self.pid, &self.systemuser_org]
            .into_iter()
            .any(|claim| matches!(claim, Some(ClaimSource::Header { .. })))
    }

    /// The request headers that feed claims and are not forwarded.
    pub fn claim_headers(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.consumer_org, &self.pid, &self.systemuser_org].into_iter().filter_map(|claim| match claim {
            Some(ClaimSource::Header { name, .. }) => Some(name),
            _ => None,
        })
    }
}

impl Exchange {
    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altinn => "altinn",
        }
    }
}

impl Access {
    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// Shows neither claim values nor `authorization_details`, which may name a person.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("methods", &self.methods)
            .field("host", &self.host)
            .field("upstream", &self.upstream)
            .field("access", &self.access)
            .field("grant", &self.grant())
            .finish()
    }
}

/// Shows neither claim values nor `authorization_details`, which may name a person.
impl fmt::Debug for GrantTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantTemplate")
            .field("client", &self.client.name)
            .field("scopes", &self.scopes)
            .field("resource", &self.resource)
            .field("consumer_org", &self.consumer_org)
            .field("pid", &self.pid)
            .field("systemuser_org", &self.systemuser_org)
            .field("systemuser_external_ref", &self.systemuser_external_ref)
            .field("authorization_details", &self.authorization_details.as_ref().map(|_| "***"))
            .field("exchange", &self.exchange)
            .finish()
    }
}

impl fmt::Debug for ClaimSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed(***)"),
            Self::Header { name, allow } => f
                .debug_struct("Header")
                .field("name", name)
                .field("allow", &allow.as_ref().map(|values| format!("{} values", values.len())))
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        let prefix = PathPrefix::new("/clients/").unwrap();
        assert_eq!(prefix.as_str(), "/clients");
        assert_eq!(prefix.strip("/clients"), Some(""));
        assert_eq!(prefix.strip("/clients/x"), Some("/x"));
        assert_eq!(prefix.strip("/clientsx"), None);
        assert_eq!(PathPrefix::new("/").unwrap().strip("/x"), Some("/x"));
        for text in ["", "clients", "/a?b", "/a#b", "/a/../b", "/./a", "/a b", "/a\\b", "/ø"] {
            assert_eq!(PathPrefix::new(text), None, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_claim() {
        let fixed = ClaimSource::Fixed("01017000027".to_owned());
        let listed = ClaimSource::Header {
            name: HeaderName::from_static("x-pid"),
            allow: Some(vec!["01017000027".to_owned()]),
        };
        let shown = format!("{fixed:?} {listed:?}");
        assert!(!shown.contains("01017000027"), "{shown}");
        assert!(shown.contains("x-pid") && shown.contains("1 values"), "{shown}");
    }
}
