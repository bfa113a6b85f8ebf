//! The shape of proxy.toml, as serde reads it after the layers were merged and checked.
//!
//! Everything may be left out here: what is required, and what contradicts what, is judged where
//! these become [`super::Config`], with a message for people. No type here has `Debug`: some hold
//! a password.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::Environment;
use super::route::{Access, Exchange};
use super::sections::OtherHosts;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) threads: Option<usize>,
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) routes: Vec<Route>,
    pub(super) forward: Forward,
    pub(super) inbound: Inbound,
    pub(super) upstream: Upstream,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Client {
    pub(super) environment: Option<Environment>,
    pub(super) issuer: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) altinn: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) key: Option<Key>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Key {
    pub(super) file: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) key_password: Option<Secret>,
    pub(super) alg: Option<String>,
    pub(super) kid: Option<String>,
}

/// A secret: itself, or where it is.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Secret {
    Literal(String),
    Form(SecretForm),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretForm {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
    pub(super) command: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    pub(super) path: Option<String>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) host: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) client: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) resource: Vec<String>,
    pub(super) consumer_org: Option<Claim>,
    pub(super) pid: Option<Claim>,
    pub(super) systemuser_org: Option<Claim>,
    pub(super) systemuser_external_ref: Option<String>,
    pub(super) authorization_details: Vec<serde_json::Value>,
    pub(super) exchange: Option<Exchange>,
    pub(super) access: Option<Access>,
}

/// A claim: its value, or the header that has it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Claim {
    Fixed(String),
    Header(ClaimHeader),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClaimHeader {
    pub(super) header: Option<String>,
    pub(super) allow: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Forward {
    pub(super) intercept: bool,
    pub(super) other_hosts: Option<OtherHosts>,
    pub(super) browsers: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Inbound {
    pub(super) password: Option<Secret>,
    pub(super) tls: Option<InboundTls>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) allowed_origins: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InboundTls {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) connect_timeout: Option<String>,
    pub(super) response_timeout: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) proxy: Option<String>,
}
