//! The effective configuration with the source of each value, as `config show` prints it.
//!
//! It is made from the valid [`Config`], defaults that follow from other values included. Secrets
//! and numbers of persons are `***` from the start; where a secret is found (a variable, a file, a
//! command) is shown.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::Origin;
use super::layer::{GRANT_PREFIX, Origins};
use super::{
    ClaimSource, Client, Config, GrantTemplate, HttpProxy, KeyMaterial, KeySource, Loaded, SecretSource,
};

const HIDDEN: &str = "***";

/// One effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The table: empty for the top level, else as in `clients.test.key` or `routes[0]`.
    pub table: String,
    pub key: &'static str,
    /// Fit to be shown.
    pub value: Value,
    pub origin: Origin,
}

impl Setting {
    /// The whole key, as in `routes[0].upstream`.
    pub fn path(&self) -> String {
        super::schema::join(&self.table, self.key)
    }
}

/// The effective configuration as TOML, each value with its source in a comment.
pub fn show(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut table = "";
    for setting in &loaded.settings {
        if setting.table != table {
            table = &setting.table;
            match table.split_once('[') {
                Some((list, _)) => _ = writeln!(text, "\n[[{list}]]"),
                None if table == GRANT_PREFIX => _ = writeln!(text, "\n# For `token`; there is no route."),
                None => _ = writeln!(text, "\n[{table}]"),
            }
        }
        // A grant without a route is in no proxy.toml, so it is told and not written.
        let comment = if table == GRANT_PREFIX { "# " } else { "" };
        let line = format!("{comment}{} = {}", setting.key, toml(&setting.value));
        let source = match &setting.origin {
            Origin::Default => "default".to_owned(),
            origin => format!("from {origin}"),
        };
        _ = writeln!(text, "{line:<48}  # {source}");
    }
    text
}

/// The effective configuration as one JSON object: `{"settings":[{"key","value","source"}]}`.
pub fn show_json(loaded: &Loaded) -> Value {
    let settings: Vec<Value> = loaded
        .settings
        .iter()
        .map(|setting| {
            json!({
                "key": setting.path(),
                "value": setting.value,
                "source": setting.origin.to_string(),
            })
        })
        .collect();
    json!({ "settings": settings })
}

/// The effective values of `config`.
pub(super) fn settings(config: &Config, origins: &Origins) -> Vec<Setting> {
    let mut list = List { origins, table: String::new(), settings: Vec::new() };
    list.add("listen", config.listen.to_string());
    list.add("admin", config.admin.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string));
    list.add("threads", config.threads.get());
    for client in config.clients.values() {
        list.client(client);
    }
    for (at, route) in config.routes.iter().enumerate() {
        list.table = format!("routes[{at}]");
        list.add("name", &*route.name);
        list.add("path", route.path.as_str());
        let methods = route.methods.as_ref();
        list.maybe("methods", methods.map(|methods| methods.iter().map(|m| m.as_str()).collect::<Vec<_>>()));
        list.maybe("host", route.host.as_ref().map(ToString::to_string));
        list.add("upstream", route.upstream.to_string());
        list.grant(&route.grant());
        list.add("access", route.access.name());
    }
    if let Some(grant) = &config.token_only {
        list.table = GRANT_PREFIX.to_owned();
        list.grant(grant);
    }
    list.table = "forward".to_owned();
    list.add("intercept", config.forward.intercept);
    list.add("other_hosts", config.forward.other_hosts.name());
    list.add("browsers", config.forward.browsers);

    list.table = "inbound".to_owned();
    let inbound = &config.inbound;
    list.maybe("password", inbound.password.as_ref().map(secret));
    list.add("allowed_hosts", inbound.allowed_hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
    list.add("allowed_origins", inbound.allowed_origins.clone());
    if let Some(tls) = &inbound.tls {
        list.table = "inbound.tls".to_owned();
        list.add("cert", file(&tls.cert));
        list.add("key", file(&tls.key));
        list.maybe("client_ca", tls.client_ca.as_deref().map(file));
    }
    list.table = "upstream".to_owned();
    let upstream = &config.upstream;
    list.add("connect_timeout", duration(upstream.connect_timeout));
    list.add("response_timeout", duration(upstream.response_timeout));
    list.maybe("ca_file", upstream.ca_file.as_deref().map(file));
    list.maybe("proxy", upstream.proxy.as_ref().map(proxy));
    list.settings
}

struct List<'a> {
    origins: &'a Origins,
    table: String,
    settings: Vec<Setting>,
}

impl List<'_> {
    fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        let mut setting =
            Setting { table: self.table.clone(), key, value: value.into(), origin: Origin::Default };
        setting.origin = self.origins.of_value(&setting.path());
        self.settings.push(setting);
    }

    fn maybe(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    fn client(&mut self, client: &Client) {
        self.table = format!("clients.{}", client.name);
        let environment = format!("{}.environment", self.table);
        if self.origins.of_value(&environment) != Origin::Default {
            self.maybe("environment", client.environment.map(|environment| environment.name()));
        }
        self.add("issuer", &*client.issuer);
        self.maybe("token_endpoint", client.token_endpoint.as_ref().map(ToString::to_string));
        self.maybe("altinn", client.altinn.as_ref().map(ToString::to_string));
        self.add("client_id", &*client.client_id);
        self.table.push_str(".key");
        self.key(&client.key);
    }

    fn key(&mut self, key: &KeySource) {
        self.add(
            "file",
            match &key.material {
                KeyMaterial::File(path) => file(path),
                KeyMaterial::Inline(_) => format!("base64:{HIDDEN}"),
            },
        );
        self.maybe("certificate", key.certificate.as_deref().map(file));
        self.maybe("alias", key.alias.as_deref());
        self.maybe("password", key.password.as_ref().map(secret));
        self.maybe("key_password", key.key_password.as_ref().map(secret));
        self.add("alg", key.algorithm.name());
        self.maybe("kid", key.kid.as_deref());
    }

    fn grant(&mut self, grant: &GrantTemplate) {
        self.add("client", &*grant.client.name);
        self.add("scopes", grant.scopes.clone());
        if !grant.resource.is_empty() {
            self.add("resource", grant.resource.clone());
        }
        self.maybe("consumer_org", grant.consumer_org.as_ref().map(|claim| source(claim, false)));
        self.maybe("pid", grant.pid.as_ref().map(|claim| source(claim, true)));
        self.maybe("systemuser_org", grant.systemuser_org.as_ref().map(|claim| source(claim, false)));
        self.maybe("systemuser_external_ref", grant.systemuser_external_ref.as_deref());
        self.maybe("authorization_details", grant.authorization_details.as_ref().map(without_persons));
        self.maybe("exchange", grant.exchange.map(|exchange| exchange.name()));
    }
}

fn secret(source: &SecretSource) -> Value {
    match source {
        SecretSource::Literal(_) => HIDDEN.into(),
        SecretSource::Env(name) => json!({ "env": name }),
        SecretSource::File(path) => json!({ "file": file(path) }),
        SecretSource::Command(command) => json!({ "command": command }),
    }
}

fn source(claim: &ClaimSource, hide: bool) -> Value {
    let shown = |text: &String| if hide { HIDDEN.into() } else { Value::from(text.as_str()) };
    match claim {
        ClaimSource::Fixed(text) => shown(text),
        ClaimSource::Header { name, allow: None } => json!({ "header": name.as_str() }),
        ClaimSource::Header { name, allow: Some(allow) } => {
            json!({ "header": name.as_str(), "allow": allow.iter().map(shown).collect::<Vec<_>>() })
        }
    }
}

/// Raw details with every text hidden that holds eleven digits in a row: consent names a person.
fn without_persons(details: &Value) -> Value {
    match details {
        Value::String(text) => {
            let mut runs = text.split(|c: char| !c.is_ascii_digit());
            if runs.any(|run| run.len() >= 11) { HIDDEN.into() } else { details.clone() }
        }
        Value::Number(_) => HIDDEN.into(),
        Value::Array(values) => values.iter().map(without_persons).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), without_persons(value))).collect(),
        other => other.clone(),
    }
}

fn proxy(proxy: &HttpProxy) -> String {
    let credentials = if proxy.credentials.is_some() { "***@" } else { "" };
    format!("http://{credentials}{}", proxy.authority)
}

fn file(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

/// A value as TOML writes it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Array(values) => format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{} = {}", toml_key(key), toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}
