//! Who a token speaks for: the structured key that keeps one identity's token from another's.
//!
//! Compared field by field, never as joined text: no value that a request brings can make two
//! identities look alike.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::config::HttpUrl;
use crate::oauth::assertion::KeyIdentity;
use crate::oauth::client::GrantClient;
use crate::secret::Secret;

/// The part of an identity that a route fixes: which client asks, for which scopes and audiences.
/// Made once for a route and shared by all its identities.
pub struct Profile {
    client: Arc<GrantClient>,
    parts: Parts,
    /// Of `parts`, taken once, so that looking a request's identity up does not hash every scope.
    hash: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parts {
    client_id: String,
    issuer: String,
    token_endpoint: Option<HttpUrl>,
    key: KeyIdentity,
    scopes: Vec<String>,
    resource: Vec<String>,
    exchange: Option<HttpUrl>,
}

/// One distinct (client, key, scopes, resource, `consumer_org`, `pid`, `authorization_details`,
/// exchange), which has one token.
#[derive(Clone)]
pub struct Identity {
    profile: Arc<Profile>,
    consumer_org: Option<Box<str>>,
    pid: Option<Pid>,
    authorization_details: Option<Details>,
}

/// A person's national identity number. Compared and hashed, never shown.
#[derive(Clone, PartialEq, Eq)]
struct Pid(Secret<String>);

/// `authorization_details` (RFC 9396), with the text by which it is compared.
#[derive(Clone)]
struct Details {
    value: Arc<Value>,
    canonical: Arc<str>,
}

impl Profile {
    /// What tokens are asked for by `client`. `scopes` and `resource` are sent, and told apart,
    /// in the order given; `exchange` is the address at which the token is swapped.
    pub fn new(
        client: Arc<GrantClient>,
        scopes: Vec<String>,
        resource: Vec<String>,
        exchange: Option<HttpUrl>,
    ) -> Arc<Self> {
        let parts = Parts {
            client_id: client.client_id().to_owned(),
            issuer: client.issuer().to_owned(),
            token_endpoint: client.configured_endpoint().cloned(),
            key: client.key().clone(),
            scopes,
            resource,
            exchange,
        };
        let mut hasher = std::hash::DefaultHasher::new();
        parts.hash(&mut hasher);
        Arc::new(Self { client, parts, hash: hasher.finish() })
    }

    pub fn client(&self) -> &Arc<GrantClient> {
        &self.client
    }

    pub fn client_id(&self) -> &str {
        &self.parts.client_id
    }

    /// The grant's `aud`.
    pub fn issuer(&self) -> &str {
        &self.parts.issuer
    }

    pub fn scopes(&self) -> &[String] {
        &self.parts.scopes
    }

    pub fn resource(&self) -> &[String] {
        &self.parts.resource
    }

    /// Where the Maskinporten token is swapped for another before use.
    pub fn exchange(&self) -> Option<&HttpUrl> {
        self.parts.exchange.as_ref()
    }

    fn differs_in_key_alone(&self, other: &Self) -> bool {
        let key = self.parts.key.clone();
        self.parts.key != other.parts.key && self.parts == Parts { key, ..other.parts.clone() }
    }
}

impl Identity {
    /// The identity of requests that bring no claims of their own.
    pub fn new(profile: Arc<Profile>) -> Self {
        Self { profile, consumer_org: None, pid: None, authorization_details: None }
    }

    /// Acts for the organisation with this number.
    #[must_use]
    pub fn with_consumer_org(mut self, number: impl Into<Box<str>>) -> Self {
        self.consumer_org = Some(number.into());
        self
    }

    /// A token bound to this person.
    #[must_use]
    pub fn with_pid(mut self, pid: Secret<String>) -> Self {
        self.pid = Some(Pid(pid));
        self
    }

    /// A token with these `authorization_details` (RFC 9396 §2).
    #[must_use]
    pub fn with_authorization_details(mut self, details: Value) -> Self {
        let mut canonical = String::new();
        write_canonical(&details, &mut canonical);
        self.authorization_details = Some(Details { value: Arc::new(details), canonical: canonical.into() });
        self
    }

    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    pub fn consumer_org(&self) -> Option<&str> {
        self.consumer_org.as_deref()
    }

    pub(in crate::oauth) fn pid(&self) -> Option<&str> {
        self.pid.as_ref().map(|pid| pid.0.expose().as_str())
    }

    pub fn authorization_details(&self) -> Option<&Value> {
        self.authorization_details.as_ref().map(|details| &*details.value)
    }

    /// Whether `other` asks for the same token with another key of the same client: after a key
    /// was replaced, the token that the old one obtained still serves.
    pub fn differs_in_key_alone(&self, other: &Self) -> bool {
        self.profile.differs_in_key_alone(&other.profile) && self.same_claims(other)
    }

    fn same_claims(&self, other: &Self) -> bool {
        self.consumer_org == other.consumer_org
            && self.pid == other.pid
            && self.authorization_details == other.authorization_details
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.parts == other.parts
    }
}

impl Eq for Profile {}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.profile, &other.profile) || self.profile == other.profile)
            && self.same_claims(other)
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.profile.hash.hash(state);
        self.consumer_org.hash(state);
        self.pid().hash(state);
        self.authorization_details.as_ref().map(|details| &details.canonical).hash(state);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The details may name a person too, so only their presence is shown.
        f.debug_struct("Identity")
            .field("profile", &self.profile)
            .field("consumer_org", &self.consumer_org)
            .field("pid", &self.pid.as_ref().map(|_| "***"))
            .field("authorization_details", &self.authorization_details.as_ref().map(|_| "***"))
            .finish()
    }
}

impl PartialEq for Details {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

/// JSON with the members of each object in the order of their names: two values have the same
/// text if, and only if, they are the same JSON value.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable();
            out.push('{');
            for (at, name) in names.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(&members[name], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests;
