//! `/clients` and `/clients/{id}/jwks`.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, Call, Caller, MODIFY, READ, SUPPLIER, WRITE};
use crate::sandbox::grant::is_digits;
use crate::sandbox::registry::{Client, MASKINPORTEN, RegisteredKey, Registry, RegistryError, strings};
use crate::sandbox::reply::Reply;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const INTEGRATION_TYPES: [&str; 6] =
    [MASKINPORTEN, "api_klient", "idporten", "krr", "eformidling", "idporten_saml2"];
/// What the server assigns; it is passed over where a client was read, changed and sent back.
const ASSIGNED: [&str; 6] =
    ["client_id", "client_orgno", "supplier_orgno", "active", "created", "last_updated"];
const MOST_KEYS: usize = 5;

impl Call<'_> {
    pub(super) fn list_clients(&self) -> Answer {
        let caller = self.caller(&[READ, SUPPLIER])?;
        let clients = self.shared.registry(|registry| registry.clients_of(&caller.organisation));
        let listed = clients.iter().filter(|client| client.active || self.with_inactive());
        Ok(Reply::ok(&listed.map(|client| client.to_json()).collect()))
    }

    pub(super) fn show_client(&self, id: &str) -> Answer {
        let caller = self.caller(&[READ, SUPPLIER])?;
        Ok(Reply::ok(&self.own_client(&caller, id, self.with_inactive())?.to_json()))
    }

    pub(super) fn create_client(&self) -> Answer {
        let caller = self.caller(&[WRITE, SUPPLIER])?;
        let posted = self.object()?;
        let (owner, supplier) = owner(&caller, &posted)?;
        let now = self.shared.now();
        self.shared.registry(|registry| {
            if let Some(id) = posted.get("client_id").and_then(Value::as_str) {
                return Err(match registry.client(id) {
                    Some(_) => Reply::conflict("a client with this client_id exists, active or not"),
                    None => Reply::bad_request("client_id is assigned by the server"),
                });
            }
            let attributes = checked(registry, posted, &owner)?;
            let id = uuid::Uuid::new_v4().to_string();
            let client = Client { supplier, ..Client::new(id, owner, attributes, now) };
            Ok(Reply::ok(&registry.put_client(client).to_json()))
        })
    }

    pub(super) fn replace_client(&self, id: &str) -> Answer {
        let caller = self.caller(&[MODIFY, WRITE, SUPPLIER])?;
        let old = self.own_client(&caller, id, false)?;
        let posted = self.object()?;
        if posted.get("integration_type").and_then(Value::as_str) != Some(old.integration_type()) {
            return Err(Reply::bad_request("integration_type cannot be changed"));
        }
        let now = self.shared.now();
        self.shared.registry(|registry| {
            let attributes = checked(registry, posted, &old.organisation)?;
            let change = registry.change_client(id, |client| {
                client.attributes = attributes;
                client.last_updated = now;
            });
            change.map(|client| Reply::ok(&client.to_json())).map_err(refused)
        })
    }

    pub(super) fn deactivate_client(&self, id: &str) -> Answer {
        let caller = self.caller(&[MODIFY, WRITE, SUPPLIER])?;
        self.own_client(&caller, id, false)?;
        let now = self.shared.now();
        let change = self.shared.registry(|registry| {
            registry.change_client(id, |client| {
                client.active = false;
                client.last_updated = now;
            })
        });
        change.map(|_| Reply::new(StatusCode::NO_CONTENT)).map_err(refused)
    }

    pub(super) fn show_keys(&self, id: &str) -> Answer {
        let caller = self.caller(&[READ, SUPPLIER])?;
        Ok(Reply::ok(&self.own_client(&caller, id, self.with_inactive())?.keys_to_json()))
    }

    pub(super) fn replace_keys(&self, id: &str) -> Answer {
        let caller = self.caller(&[WRITE, MODIFY, SUPPLIER])?;
        self.own_client(&caller, id, false)?;
        let posted = self.object()?;
        let jwks = posted.get("keys").and_then(Value::as_array);
        let jwks = jwks.ok_or_else(|| Reply::bad_request("keys must be an array of JWKs"))?;
        if !(1..=MOST_KEYS).contains(&jwks.len()) {
            return Err(Reply::bad_request("a client has from one to five keys"));
        }
        let now = self.shared.now();
        let mut keys: Vec<RegisteredKey> = Vec::with_capacity(jwks.len());
        for jwk in jwks {
            let key = RegisteredKey::from_jwk(jwk).map_err(|error| Reply::bad_request(&error.to_string()))?;
            if keys.iter().any(|other| other.kid() == key.kid()) {
                return Err(Reply::bad_request("two keys have the same kid"));
            }
            keys.push(key.registered_at(now));
        }
        let change = self.shared.registry(|registry| registry.set_keys(id, keys, now));
        change.map(|client| Reply::ok(&client.keys_to_json())).map_err(refused)
    }

    /// Another organisation's client is as good as none.
    fn own_client(&self, caller: &Caller, id: &str, with_inactive: bool) -> Result<Arc<Client>, Reply> {
        self.shared
            .registry(|registry| registry.client(id))
            .filter(|client| client.belongs_to(&caller.organisation))
            .filter(|client| client.active || with_inactive)
            .ok_or_else(|| Reply::not_found("your organisation has no such client"))
    }
}

/// The owner of a client to be, and its supplier where that is another.
fn owner(caller: &Caller, posted: &Map<String, Value>) -> Result<(String, Option<String>), Reply> {
    let Some(owner) = posted.get("client_orgno") else { return own(caller) };
    let owner = owner.as_str().filter(|text| is_digits(text, 9));
    let owner = owner.ok_or_else(|| Reply::bad_request("client_orgno is not an organisation number"))?;
    if owner == caller.organisation {
        return own(caller);
    }
    if !caller.has_scope(SUPPLIER) {
        return Err(Reply::insufficient_scope(SUPPLIER));
    }
    Ok((owner.to_owned(), Some(caller.organisation.clone())))
}

fn own(caller: &Caller) -> Result<(String, Option<String>), Reply> {
    Ok((caller.organisation.clone(), None))
}

/// The attributes that may be stored, or what is wrong with them.
fn checked(
    registry: &Registry,
    mut attributes: Map<String, Value>,
    owner: &str,
) -> Result<Map<String, Value>, Reply> {
    attributes.retain(|name, _| !ASSIGNED.contains(&name.as_str()));
    let bad = |what: &str| Err(Reply::bad_request(what));
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(integration_type) = text("integration_type") else {
        return bad("integration_type is missing");
    };
    if !INTEGRATION_TYPES.contains(&integration_type) {
        return bad("integration_type is unknown");
    }
    if text("client_name").is_none() || text("description").is_none() {
        return bad("client_name and description are required");
    }
    let list = |name: &str| match attributes.get(name) {
        None => Some(Vec::new()),
        Some(value) => strings(value),
    };
    let (Some(scopes), Some(grant_types)) = (list("scopes"), list("grant_types")) else {
        return bad("scopes and grant_types must be arrays of texts");
    };
    if integration_type == MASKINPORTEN {
        if grant_types != [JWT_BEARER] {
            return bad("grant_types of a Maskinporten client must be jwt-bearer alone");
        }
        if text("token_endpoint_auth_method") != Some("private_key_jwt") {
            return bad("token_endpoint_auth_method of a Maskinporten client must be private_key_jwt");
        }
        if attributes.contains_key("redirect_uris") {
            return bad("a Maskinporten client has no redirect_uris");
        }
    }
    let is_lifetime = |value: &Value| value.as_u64().is_some_and(|seconds| (1..=7200).contains(&seconds));
    if attributes.get("access_token_lifetime").is_some_and(|value| !is_lifetime(value)) {
        return bad("access_token_lifetime must be from 1 to 7200 seconds");
    }
    for name in &scopes {
        // Access is judged when a token is asked for: it may be delegated, or granted later.
        let Some(scope) = registry.scope(name).filter(|scope| scope.active) else {
            return bad(&format!("there is no scope {name}"));
        };
        if !scope.is_public() && !scope.is_accessible_to(owner) {
            return bad(&format!("there is no scope {name}"));
        }
        if !scope.allows_type(integration_type) {
            return bad(&format!("the scope {name} is not for clients of this integration_type"));
        }
    }
    Ok(attributes)
}

fn refused(error: RegistryError) -> Reply {
    match error {
        RegistryError::NoClient => Reply::not_found(&error.to_string()),
        RegistryError::KidTaken(_) => Reply::bad_request(&error.to_string()),
    }
}
