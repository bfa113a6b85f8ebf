//! [`Identities`]: whose token a request on a route gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::HeaderName;
use serde_json::{Value, json};

use super::keys;
use crate::config::{ClaimSource, Client, Exchange, GrantTemplate, HttpUrl, Route, identifiers};
use crate::http::claims::{self, ClaimHeaderError};
use crate::keys::SigningKey;
use crate::message::Fields;
use crate::oauth::{GrantClient, Identity, Profile, TokenSource, TokenSources};
use crate::secret::Secret;

/// Where a route's tokens come from.
#[derive(Debug)]
pub enum Identities {
    /// The same for every request.
    Fixed(Arc<TokenSource>),
    /// By what the request brings.
    ByRequest(Box<Template>),
}

/// An identity with places for what requests bring.
#[derive(Debug)]
pub struct Template {
    profile: Arc<Profile>,
    grant: GrantTemplate,
    sources: Arc<TokenSources>,
}

/// Why a request's headers make no identity. None of these holds the value itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("the header {name}, from which `{claim}` is taken: {error}")]
    Header { claim: &'static str, name: HeaderName, error: ClaimHeaderError },
    #[error("the value of the header {name}, from which `{claim}` is taken, is not {expected}")]
    Form { claim: &'static str, name: HeaderName, expected: &'static str },
    #[error("the value of the header {name} is not among those that the route allows for `{claim}`")]
    NotAllowed { claim: &'static str, name: HeaderName },
}

#[derive(Clone, Copy)]
enum Claim {
    ConsumerOrg,
    Pid,
    SystemuserOrg,
}

impl Identities {
    pub(super) fn new(
        route: &Route,
        keys: &BTreeMap<String, SigningKey>,
        sources: &Arc<TokenSources>,
    ) -> Self {
        let key = keys.get(&route.client.name).expect("every client's key was loaded");
        let template = Template::new(route.grant(), key, sources);
        if route.has_fixed_claims() {
            let identity = template.identity(&Fields::new()).expect("fixed claims need no header");
            return Self::Fixed(sources.source(&identity));
        }
        Self::ByRequest(Box::new(template))
    }

    /// The source of the token for a request with these headers.
    ///
    /// # Errors
    ///
    /// A header that is missing, empty, repeated, malformed or not allowed.
    #[inline(never)]
    pub fn source(&self, fields: &Fields) -> Result<Arc<TokenSource>, ClaimError> {
        match self {
            Self::Fixed(source) => Ok(Arc::clone(source)),
            Self::ByRequest(template) => Ok(template.sources.source(&template.identity(fields)?)),
        }
    }

    /// The client that asks.
    pub fn client(&self) -> &Arc<GrantClient> {
        match self {
            Self::Fixed(source) => source.identity().profile().client(),
            Self::ByRequest(template) => template.profile.client(),
        }
    }

    /// The one source, where claims are fixed.
    pub fn fixed(&self) -> Option<&Arc<TokenSource>> {
        match self {
            Self::Fixed(source) => Some(source),
            Self::ByRequest(_) => None,
        }
    }
}

impl Template {
    /// What tokens `grant` asks for, signed with `key`.
    pub fn new(grant: GrantTemplate, key: &SigningKey, sources: &Arc<TokenSources>) -> Self {
        let client = sources.client(&grant.client, keys::signer(key));
        let exchange = grant.exchange.map(|exchange| platform(exchange, &grant.client));
        let profile = Profile::new(client, grant.scopes.clone(), grant.resource.clone(), exchange);
        Self { profile, grant, sources: Arc::clone(sources) }
    }

    /// The client that asks.
    pub fn client(&self) -> &Arc<GrantClient> {
        self.profile.client()
    }

    /// The identity of a request with these headers.
    ///
    /// # Errors
    ///
    /// As [`Identities::source`].
    pub fn identity(&self, fields: &Fields) -> Result<Identity, ClaimError> {
        let mut identity = Identity::new(Arc::clone(&self.profile));
        if let Some(source) = &self.grant.consumer_org {
            identity = identity.with_consumer_org(Claim::ConsumerOrg.value(source, fields)?);
        }
        if let Some(source) = &self.grant.pid {
            identity = identity.with_pid(Secret::from(Claim::Pid.value(source, fields)?));
        }
        if let Some(source) = &self.grant.systemuser_org {
            let org = Claim::SystemuserOrg.value(source, fields)?;
            let details = system_user(org, self.grant.systemuser_external_ref.as_deref());
            identity = identity.with_authorization_details(details);
        } else if let Some(details) = &self.grant.authorization_details {
            identity = identity.with_authorization_details(details.clone());
        }
        Ok(identity)
    }
}

impl Claim {
    fn name(self) -> &'static str {
        match self {
            Self::ConsumerOrg => "consumer_org",
            Self::Pid => "pid",
            Self::SystemuserOrg => "systemuser_org",
        }
    }

    fn value<'a>(self, source: &'a ClaimSource, fields: &'a Fields) -> Result<&'a str, ClaimError> {
        let (name, allow) = match source {
            ClaimSource::Fixed(value) => return Ok(value),
            ClaimSource::Header { name, allow } => (name, allow),
        };
        let claim = self.name();
        let value = claims::single(fields, name).map_err(|error| ClaimError::Header {
            claim,
            name: name.clone(),
            error,
        })?;
        if let Some(allow) = allow {
            return match allow.iter().any(|allowed| allowed == value) {
                true => Ok(value),
                false => Err(ClaimError::NotAllowed { claim, name: name.clone() }),
            };
        }
        let (well_formed, expected) = match self {
            Self::Pid => (identifiers::is_national_id(value), "an eleven-digit national identity number"),
            _ => (identifiers::is_org_number(value), "a nine-digit organisation number"),
        };
        if !well_formed {
            return Err(ClaimError::Form { claim, name: name.clone(), expected });
        }
        Ok(value)
    }
}

/// `authorization_details` of a system user in Altinn.
fn system_user(org: &str, external_ref: Option<&str>) -> Value {
    let mut details = json!({
        "type": "urn:altinn:systemuser",
        "systemuser_org": { "authority": "iso6523-actorid-upis", "ID": format!("0192:{org}") },
    });
    if let Some(external_ref) = external_ref {
        details["externalRef"] = external_ref.into();
    }
    json!([details])
}

/// Where the token is swapped.
fn platform(exchange: Exchange, client: &Client) -> HttpUrl {
    match exchange {
        Exchange::Altinn => client.altinn.clone().expect("checked when the configuration was loaded"),
    }
}
