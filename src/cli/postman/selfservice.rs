//! The operations of Digdir's self-service API, with bodies that work as they are. Each folder
//! makes what it needs and takes it away again, so that it runs from top to bottom any number of
//! times.

use serde_json::{Value, json};

use super::request::Item;
use crate::config::{Environment, Upstream};
use crate::keys::{self, GenerateError, KeyBits};

/// What a route of that API leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Clients,
    Scopes,
    DelegationSources,
}

impl Resource {
    const ALL: [Self; 3] = [Self::Clients, Self::Scopes, Self::DelegationSources];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Scopes => "scopes",
            Self::DelegationSources => "delegationsources",
        }
    }

    /// The resources that `upstream` leads to, each with its path beneath it: one, where the path
    /// ends in it; all of them, where the host is Digdir's. Nothing for another API.
    pub(super) fn of(upstream: &Upstream) -> Vec<(Self, String)> {
        let last = upstream.path.as_str().rsplit('/').next().unwrap_or_default();
        if let Some(resource) = Self::ALL.into_iter().find(|resource| resource.name() == last) {
            return vec![(resource, String::new())];
        }
        let host = upstream.authority.host().to_string();
        let is_digdirs = Environment::ALL
            .iter()
            .any(|environment| environment.self_service().strip_prefix("https://") == Some(&host));
        if !is_digdirs {
            return Vec::new();
        }
        Self::ALL.map(|resource| (resource, format!("/{}", resource.name()))).into()
    }

    /// The operations, in an order in which each finds what the one before it made.
    pub(super) fn operations(self, beneath: &str) -> Result<Vec<Item>, GenerateError> {
        Ok(match self {
            Self::Clients => clients(beneath)?,
            Self::Scopes => scopes(beneath),
            Self::DelegationSources => {
                vec![Item::new("List delegation sources", "GET", beneath).answers(&[200])]
            }
        })
    }

    /// The collection variables that the operations use.
    pub(super) fn variables(self) -> Vec<Value> {
        let variable = |key: &str, value: &str| json!({ "key": key, "value": value });
        match self {
            Self::Clients => vec![variable("clientId", "")],
            Self::Scopes => vec![
                // To be replaced by a prefix of one's own; the sandbox's organisation has this one.
                variable("scopePrefix", "demo"),
                variable("subscope", ""),
                variable("scopeName", ""),
                variable("consumerOrgno", "910753614"),
            ],
            Self::DelegationSources => Vec::new(),
        }
    }
}

fn clients(at: &str) -> Result<Vec<Item>, GenerateError> {
    let one = format!("{at}/{{{{clientId}}}}");
    let keys = format!("{one}/jwks");
    Ok(vec![
        Item::new("List clients", "GET", at).answers(&[200]).described("`?inactive=TRUE` lists deactivated ones too."),
        Item::new("Create a client", "POST", at)
            .body(client("Made from Postman"))
            .answers(&[200, 201])
            .keeps("client_id", "clientId")
            .described("The requests below work on the client that this one makes."),
        Item::new("Read the client", "GET", &one)
            .answers(&[200])
            .test("pm.test('it is the client that was made', () => pm.expect(pm.response.json().client_id).to.eql(pm.collectionVariables.get('clientId')));".to_owned()),
        Item::new("Change the client", "PUT", &one).body(client("Changed from Postman")).answers(&[200]),
        Item::new("Register a key", "PUT", &keys)
            .body(public_key()?)
            .answers(&[200, 201])
            .described(
                "Replaces the whole set of keys, five at most. The private half of this key was thrown away when the \
                 collection was made: put the output of `maskinporten-proxy key generate` here.",
            ),
        Item::new("Read the keys", "GET", &keys).answers(&[200]),
        Item::new("Delete the client", "DELETE", &one)
            .answers(&[200, 204])
            .described("Deactivates it: it is listed with `?inactive=TRUE`."),
    ])
}

fn client(description: &str) -> Value {
    json!({
        "integration_type": "maskinporten",
        "client_name": "An example",
        "description": description,
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "scopes": [],
    })
}

/// A real key, since anything else is refused. Its `kid`, which must not have been used before,
/// is made anew by Postman whenever it is sent.
fn public_key() -> Result<Value, GenerateError> {
    Ok(keys::generate(KeyBits::B2048, Some("{{$guid}}"))?.public_jwks)
}

fn scopes(at: &str) -> Vec<Item> {
    let named =
        |name: &str, method, path: &str| Item::new(name, method, path).query("scope", "{{scopeName}}");
    let access = format!("{at}/access");
    let consumer = format!("{access}/{{{{consumerOrgno}}}}");
    vec![
        Item::new("List scopes", "GET", at).answers(&[200]),
        Item::new("List everyone's scopes", "GET", &format!("{at}/all")).answers(&[200]),
        Item::new("Create a scope", "POST", at)
            .before("pm.collectionVariables.set('subscope', 'example-' + Date.now());")
            .body(scope("Made from Postman"))
            .answers(&[200, 201])
            .test("pm.collectionVariables.set('scopeName', pm.collectionVariables.get('scopePrefix') + ':' + pm.collectionVariables.get('subscope'));".to_owned())
            .described(
                "Set the collection's variable `scopePrefix` to a prefix of your organisation's. Each run makes a new \
                 scope: the name of a deleted one cannot be used again.",
            ),
        named("Change the scope", "PUT", at).body(scope("Changed from Postman")).answers(&[200]),
        named("Give a consumer access", "PUT", &consumer).answers(&[200, 201]),
        named("List access", "GET", &access).answers(&[200]),
        named("Withdraw access", "DELETE", &consumer).answers(&[200, 204]),
        named("Delete the scope", "DELETE", at).answers(&[200, 204]).described("Deactivates it."),
    ]
}

fn scope(description: &str) -> Value {
    json!({ "prefix": "{{scopePrefix}}", "subscope": "{{subscope}}", "description": description })
}
