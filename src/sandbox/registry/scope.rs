//! Scopes and who has access to them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{MASKINPORTEN, merged, strings, timestamp};

/// A scope to register by way of [`crate::sandbox::Control`].
#[derive(Clone, Debug)]
pub struct ScopeSpec {
    /// `prefix:subscope`.
    pub name: String,
    /// The organisation number of the API's owner.
    pub owner: String,
    /// `description`.
    pub description: String,
    /// Empty: every type.
    pub allowed_integration_types: Vec<String>,
    /// Whether every organisation has access without being granted it.
    pub accessible_for_all: bool,
    /// Whether `/scopes/all` lists it.
    pub public: bool,
    /// The organisations that have been granted access.
    pub granted: Vec<String>,
}

impl ScopeSpec {
    /// A public scope for Maskinporten clients that only its owner has access to.
    pub fn new(name: impl Into<String>, owner: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            owner: owner.into(),
            description: "Registered by a test".to_owned(),
            allowed_integration_types: vec![MASKINPORTEN.to_owned()],
            accessible_for_all: false,
            public: true,
            granted: Vec::new(),
        }
    }

    /// Gives it a description.
    pub fn described(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }

    /// Gives every organisation access.
    pub fn for_all(mut self) -> Self {
        self.accessible_for_all = true;
        self
    }

    /// Keeps it off `/scopes/all`.
    pub fn private(mut self) -> Self {
        self.public = false;
        self
    }

    /// Grants an organisation access.
    pub fn granted_to(mut self, organisation: &str) -> Self {
        self.granted.push(organisation.to_owned());
        self
    }

    /// Sets the integration types that may have it.
    pub fn allowed_types(mut self, types: &[&str]) -> Self {
        self.allowed_integration_types = types.iter().map(|&name| name.to_owned()).collect();
        self
    }
}

/// A scope as it is stored.
#[derive(Clone)]
pub(in crate::sandbox) struct Scope {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) owner: String,
    pub(in crate::sandbox) active: bool,
    /// What was posted, but for what the server assigns.
    pub(in crate::sandbox) attributes: Map<String, Value>,
    pub(in crate::sandbox) access: BTreeMap<String, Access>,
    pub(in crate::sandbox) created: SystemTime,
    pub(in crate::sandbox) last_updated: SystemTime,
}

/// An organisation's access to a scope. It stays on record when it is withdrawn.
#[derive(Clone)]
pub(in crate::sandbox) struct Access {
    pub(in crate::sandbox) approved: bool,
    pub(in crate::sandbox) created: SystemTime,
    pub(in crate::sandbox) last_updated: SystemTime,
}

impl Scope {
    pub(in crate::sandbox) fn new(
        name: String,
        owner: String,
        attributes: Map<String, Value>,
        now: SystemTime,
    ) -> Self {
        Self {
            name,
            owner,
            active: true,
            attributes,
            access: BTreeMap::new(),
            created: now,
            last_updated: now,
        }
    }

    pub(in crate::sandbox) fn from_spec(spec: ScopeSpec, now: SystemTime) -> Self {
        let (prefix, subscope) = spec.name.split_once(':').unwrap_or((&spec.name, ""));
        let attributes = json!({
            "prefix": prefix,
            "subscope": subscope,
            "description": spec.description,
            "visibility": if spec.public { "PUBLIC" } else { "PRIVATE" },
            "allowed_integration_types": spec.allowed_integration_types,
            "accessible_for_all": spec.accessible_for_all,
        });
        let Value::Object(attributes) = attributes else { unreachable!("json! was given an object") };
        let mut scope = Self::new(spec.name, spec.owner, attributes, now);
        for organisation in spec.granted {
            scope.grant(&organisation, true, now);
        }
        scope
    }

    pub(in crate::sandbox) fn prefix(&self) -> &str {
        self.name.split_once(':').map_or(self.name.as_str(), |(prefix, _)| prefix)
    }

    pub(in crate::sandbox) fn is_public(&self) -> bool {
        self.attributes.get("visibility").and_then(Value::as_str) != Some("PRIVATE")
    }

    pub(in crate::sandbox) fn allows_type(&self, integration_type: &str) -> bool {
        let types = self.attributes.get("allowed_integration_types").and_then(strings).unwrap_or_default();
        types.is_empty() || types.iter().any(|name| name == integration_type)
    }

    pub(in crate::sandbox) fn is_accessible_to(&self, organisation: &str) -> bool {
        let for_all = self.attributes.get("accessible_for_all").and_then(Value::as_bool).unwrap_or(false);
        for_all
            || self.owner == organisation
            || self.access.get(organisation).is_some_and(|access| access.approved)
    }

    /// Grants access, or withdraws it.
    pub(in crate::sandbox) fn grant(&mut self, organisation: &str, approved: bool, now: SystemTime) {
        self.access
            .entry(organisation.to_owned())
            .and_modify(|access| {
                access.approved = approved;
                access.last_updated = now;
            })
            .or_insert(Access { approved, created: now, last_updated: now });
    }

    pub(in crate::sandbox) fn access_to_json(&self, organisation: &str) -> Option<Value> {
        let access = self.access.get(organisation)?;
        Some(json!({
            "scope": self.name,
            "state": if access.approved { "APPROVED" } else { "DENIED" },
            "created": timestamp(access.created),
            "last_updated": timestamp(access.last_updated),
            "consumer_orgno": organisation,
            "owner_orgno": self.owner,
        }))
    }

    pub(in crate::sandbox) fn to_json(&self) -> Value {
        let mut assigned = Map::new();
        assigned.insert("name".to_owned(), self.name.clone().into());
        assigned.insert("owner_orgno".to_owned(), self.owner.clone().into());
        assigned.insert("active".to_owned(), self.active.into());
        assigned.insert("created".to_owned(), timestamp(self.created));
        assigned.insert("last_updated".to_owned(), timestamp(self.last_updated));
        merged(assigned, &self.attributes)
    }
}
