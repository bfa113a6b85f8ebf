//! Clients: integrations, as the self-service calls them.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{MASKINPORTEN, RegisteredKey, merged, strings, timestamp};

/// A client to register by way of [`crate::sandbox::Control`].
#[derive(Clone, Debug)]
pub struct ClientSpec {
    /// The `iss` of its grants.
    pub client_id: String,
    /// The organisation number of the owner; a business certificate's must equal it.
    pub organisation: String,
    /// `client_name`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `maskinporten`, unless a test wants a client of another kind.
    pub integration_type: String,
    /// The scopes that it may ask for.
    pub scopes: Vec<String>,
    /// With at least one, the client must use `kid`; without, `x5c`.
    pub keys: Vec<RegisteredKey>,
    /// Seconds that its tokens live; `None`: the sandbox's default.
    pub token_lifetime: Option<u32>,
}

impl ClientSpec {
    /// A Maskinporten client without scopes or keys.
    pub fn new(client_id: impl Into<String>, organisation: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            organisation: organisation.into(),
            name: "test".to_owned(),
            description: "Registered by a test".to_owned(),
            integration_type: MASKINPORTEN.to_owned(),
            scopes: Vec::new(),
            keys: Vec::new(),
            token_lifetime: None,
        }
    }

    /// Gives it a name and a description.
    pub fn described(mut self, name: &str, description: &str) -> Self {
        self.name = name.to_owned();
        self.description = description.to_owned();
        self
    }

    /// Adds a scope.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// Adds a registered key.
    pub fn key(mut self, key: RegisteredKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Tokens of this client live for `seconds`.
    pub fn token_lifetime(mut self, seconds: u32) -> Self {
        self.token_lifetime = Some(seconds);
        self
    }
}

/// A client as it is stored.
#[derive(Clone)]
pub(in crate::sandbox) struct Client {
    pub(in crate::sandbox) sequence: u64,
    pub(in crate::sandbox) client_id: String,
    pub(in crate::sandbox) organisation: String,
    /// The organisation that registered it for another (`idporten:dcr.supplier`).
    pub(in crate::sandbox) supplier: Option<String>,
    pub(in crate::sandbox) active: bool,
    /// What was posted, but for what the server assigns.
    pub(in crate::sandbox) attributes: Map<String, Value>,
    pub(in crate::sandbox) keys: Vec<RegisteredKey>,
    pub(in crate::sandbox) keys_updated: Option<SystemTime>,
    pub(in crate::sandbox) created: SystemTime,
    pub(in crate::sandbox) last_updated: SystemTime,
}

impl Client {
    pub(in crate::sandbox) fn new(
        client_id: String,
        organisation: String,
        attributes: Map<String, Value>,
        now: SystemTime,
    ) -> Self {
        Self {
            sequence: 0,
            client_id,
            organisation,
            supplier: None,
            active: true,
            attributes,
            keys: Vec::new(),
            keys_updated: None,
            created: now,
            last_updated: now,
        }
    }

    pub(in crate::sandbox) fn from_spec(spec: ClientSpec, now: SystemTime) -> Self {
        let mut attributes = json!({
            "integration_type": spec.integration_type,
            "client_name": spec.name,
            "description": spec.description,
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "scopes": spec.scopes,
        });
        if let Some(seconds) = spec.token_lifetime {
            attributes["access_token_lifetime"] = seconds.into();
        }
        let Value::Object(attributes) = attributes else { unreachable!("json! was given an object") };
        let keys_updated = (!spec.keys.is_empty()).then_some(now);
        Self {
            keys: spec.keys,
            keys_updated,
            ..Self::new(spec.client_id, spec.organisation, attributes, now)
        }
    }

    pub(in crate::sandbox) fn belongs_to(&self, organisation: &str) -> bool {
        self.organisation == organisation || self.supplier.as_deref() == Some(organisation)
    }

    pub(in crate::sandbox) fn integration_type(&self) -> &str {
        self.attributes.get("integration_type").and_then(Value::as_str).unwrap_or_default()
    }

    pub(in crate::sandbox) fn scopes(&self) -> Vec<String> {
        self.attributes.get("scopes").and_then(strings).unwrap_or_default()
    }

    /// Seconds, where the client has a life of its own for its tokens.
    pub(in crate::sandbox) fn token_lifetime(&self) -> Option<u32> {
        let seconds = self.attributes.get("access_token_lifetime")?.as_u64()?;
        u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
    }

    pub(in crate::sandbox) fn to_json(&self) -> Value {
        let mut assigned = Map::new();
        assigned.insert("client_id".to_owned(), self.client_id.clone().into());
        assigned.insert("client_orgno".to_owned(), self.organisation.clone().into());
        if let Some(supplier) = &self.supplier {
            assigned.insert("supplier_orgno".to_owned(), supplier.clone().into());
        }
        assigned.insert("active".to_owned(), self.active.into());
        assigned.insert("created".to_owned(), timestamp(self.created));
        assigned.insert("last_updated".to_owned(), timestamp(self.last_updated));
        merged(assigned, &self.attributes)
    }

    pub(in crate::sandbox) fn keys_to_json(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().map(RegisteredKey::to_jwk).collect();
        let mut set = json!({ "keys": keys });
        if let Some(updated) = self.keys_updated {
            set["last_updated"] = timestamp(updated);
        }
        set
    }
}
