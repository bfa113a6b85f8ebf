//! What the sandbox knows: clients and their keys, scopes and who may use them, delegations,
//! system users, consents and trusted certificate authorities. In memory only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

mod client;
mod key;
mod scope;

pub(super) use client::Client;
pub use client::ClientSpec;
pub use key::{KeyError, RegisteredKey};
pub(super) use scope::Scope;
pub use scope::ScopeSpec;

/// The integration type of clients that the token endpoint serves.
pub(super) const MASKINPORTEN: &str = "maskinporten";

/// A customer's system user in Altinn: whom it lets a client act for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SystemUser {
    /// The Maskinporten client that the vendor's system is tied to.
    pub client_id: String,
    /// The customer's organisation number.
    pub organisation: String,
    /// The reference that it was made with. Where there is one, a grant must give it.
    pub external_ref: Option<String>,
}

/// A consent that somebody gave in Altinn.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Consent {
    /// A UUID.
    pub id: String,
    /// `urn:altinn:person:identifier-no:…` or `urn:altinn:organization:identifier-no:…`.
    pub from: String,
    /// The organisation number of the one who may use it.
    pub to: String,
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `from` may hold a national identity number.
        f.debug_struct("Consent").field("id", &self.id).field("to", &self.to).finish_non_exhaustive()
    }
}

/// The state behind the lock.
#[derive(Default)]
pub(super) struct Registry {
    clients: HashMap<String, Arc<Client>>,
    scopes: BTreeMap<String, Arc<Scope>>,
    /// Scope prefixes and the organisation that each is assigned to.
    prefixes: HashMap<String, String>,
    /// (consumer, supplier, scope)
    delegations: HashSet<(String, String, String)>,
    /// The system users there are, and the identifier of each.
    system_users: HashMap<SystemUser, String>,
    consents: HashSet<Consent>,
    /// Trusted certificates, DER.
    authorities: Arc<Vec<Vec<u8>>>,
    /// Numbers the clients, so that they are listed in the order they came.
    sequence: u64,
}

/// Why a client's keys or attributes cannot be as asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("there is no such client")]
    NoClient,
    #[error("the kid {0:?} is registered already; it must be unique among all clients")]
    KidTaken(String),
}

impl Registry {
    pub(super) fn client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.get(id).cloned()
    }

    /// The clients that `organisation` owns or supplies, oldest first.
    pub(super) fn clients_of(&self, organisation: &str) -> Vec<Arc<Client>> {
        let mut found: Vec<_> =
            self.clients.values().filter(|client| client.belongs_to(organisation)).cloned().collect();
        found.sort_by_key(|client| client.sequence);
        found
    }

    /// Puts a client in, replacing one of the same id.
    pub(super) fn put_client(&mut self, mut client: Client) -> Arc<Client> {
        client.sequence = match self.clients.get(&client.client_id) {
            Some(old) => old.sequence,
            None => {
                self.sequence += 1;
                self.sequence
            }
        };
        let client = Arc::new(client);
        self.clients.insert(client.client_id.clone(), Arc::clone(&client));
        client
    }

    pub(super) fn change_client(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Client),
    ) -> Result<Arc<Client>, RegistryError> {
        let client = self.clients.get_mut(id).ok_or(RegistryError::NoClient)?;
        change(Arc::make_mut(client));
        Ok(Arc::clone(client))
    }

    /// Replaces the whole key set of a client.
    pub(super) fn set_keys(
        &mut self,
        id: &str,
        keys: Vec<RegisteredKey>,
        now: SystemTime,
    ) -> Result<Arc<Client>, RegistryError> {
        let taken = |kid: &str| {
            let mut others = self.clients.values().filter(|client| client.client_id != id);
            others.any(|client| client.keys.iter().any(|key| key.kid() == kid))
        };
        if let Some(key) = keys.iter().find(|key| taken(key.kid())) {
            return Err(RegistryError::KidTaken(key.kid().to_owned()));
        }
        self.change_client(id, |client| {
            client.keys = keys;
            client.keys_updated = Some(now);
        })
    }

    pub(super) fn scope(&self, name: &str) -> Option<Arc<Scope>> {
        self.scopes.get(name).cloned()
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &Arc<Scope>> {
        self.scopes.values()
    }

    pub(super) fn put_scope(&mut self, scope: Scope) -> Arc<Scope> {
        self.prefixes.entry(scope.prefix().to_owned()).or_insert_with(|| scope.owner.clone());
        let scope = Arc::new(scope);
        self.scopes.insert(scope.name.clone(), Arc::clone(&scope));
        scope
    }

    /// `None`: there is no such scope.
    pub(super) fn change_scope(&mut self, name: &str, change: impl FnOnce(&mut Scope)) -> Option<Arc<Scope>> {
        let scope = self.scopes.get_mut(name)?;
        change(Arc::make_mut(scope));
        Some(Arc::clone(scope))
    }

    pub(super) fn assign_prefix(&mut self, prefix: &str, organisation: &str) {
        self.prefixes.insert(prefix.to_owned(), organisation.to_owned());
    }

    pub(super) fn owns_prefix(&self, prefix: &str, organisation: &str) -> bool {
        self.prefixes.get(prefix).is_some_and(|owner| owner == organisation)
    }

    pub(super) fn delegate(&mut self, consumer: &str, supplier: &str, scope: &str) {
        self.delegations.insert((consumer.into(), supplier.into(), scope.into()));
    }

    pub(super) fn undelegate(&mut self, consumer: &str, supplier: &str, scope: &str) {
        self.delegations.remove(&(consumer.into(), supplier.into(), scope.into()));
    }

    pub(super) fn has_delegated(&self, consumer: &str, supplier: &str, scope: &str) -> bool {
        self.delegations.contains(&(consumer.into(), supplier.into(), scope.into()))
    }

    pub(super) fn put_system_user(&mut self, user: SystemUser) {
        self.system_users.insert(user, uuid::Uuid::new_v4().to_string());
    }

    /// The identifier of the system user that a grant asks for.
    pub(super) fn system_user(
        &self,
        client_id: &str,
        organisation: &str,
        external_ref: Option<&str>,
    ) -> Option<String> {
        let find = |external_ref: Option<&str>| {
            let wanted = SystemUser {
                client_id: client_id.to_owned(),
                organisation: organisation.to_owned(),
                external_ref: external_ref.map(str::to_owned),
            };
            self.system_users.get(&wanted).cloned()
        };
        // One that was made without a reference has the organisation number for it.
        find(external_ref).or_else(|| find(None).filter(|_| external_ref == Some(organisation)))
    }

    pub(super) fn put_consent(&mut self, consent: Consent) {
        self.consents.insert(consent);
    }

    pub(super) fn has_consent(&self, consent: &Consent) -> bool {
        self.consents.contains(consent)
    }

    pub(super) fn trust(&mut self, certificate: Vec<u8>) {
        Arc::make_mut(&mut self.authorities).push(certificate);
    }

    pub(super) fn authorities(&self) -> Arc<Vec<Vec<u8>>> {
        Arc::clone(&self.authorities)
    }
}

/// A time as the self-service API writes it: `2024-05-21T15:05:45.862Z`.
pub(super) fn timestamp(time: SystemTime) -> Value {
    const FORMAT: &[time::format_description::FormatItem<'_>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from(time)
        .format(FORMAT)
        .expect("every component of the format is one that an OffsetDateTime has")
        .into()
}

/// The strings of an array; `None` where it is no array of strings.
pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// `base` with `more` put in front of it, as the API shows what it assigned before what was given.
pub(super) fn merged(more: Map<String, Value>, base: &Map<String, Value>) -> Value {
    let mut all = more;
    for (name, value) in base {
        all.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(all)
}
