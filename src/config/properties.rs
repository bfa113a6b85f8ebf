//! The properties file of jwt-grant-generator as a layer: a client, its key, and what to ask for.
//!
//! The names are the tool's own: its `issuer` is the client's id (the grant's `iss`), its
//! `audience` the Maskinporten issuer (the grant's `aud`).

use std::path::{Path, PathBuf};

use figment::value::Value;

use super::error::Origin;
use super::layer::Layer;
use super::schema;

mod reader;

pub(super) use reader::{Malformed, decode, parse};

/// The name of the client that a properties file makes; a second file adds to the same one.
pub(super) const CLIENT: &str = "default";

/// Every key that the tool reads.
const KNOWN: [&str; 13] = [
    "issuer",
    "audience",
    "resource",
    "scope",
    "pid",
    "consumer_org",
    "token.endpoint",
    "keystore.type",
    "keystore.file",
    "keystore.password",
    "keystore.alias",
    "keystore.alias.password",
    "keystore.kid",
];

/// A properties file, read.
pub(super) struct Properties {
    pub(super) layer: Layer,
    /// Keys that mean nothing, which the tool passes over in silence.
    pub(super) warnings: Vec<String>,
}

/// Reads `bytes`, the content of `path` (which is how messages name it), the folders being those
/// that a relative `keystore.file` is looked for in.
///
/// # Errors
///
/// An escape that `java.util.Properties` refuses too.
pub(super) fn read(path: &Path, bytes: &[u8], folders: &[&Path]) -> Result<Properties, Malformed> {
    let mut layer = Layer::new();
    let mut warnings = Vec::new();
    layer.origins.set(format!("clients.{CLIENT}"), Origin::File { path: path.to_owned(), line: None });
    for (name, property) in parse(&decode(bytes))? {
        let origin = Origin::File { path: path.to_owned(), line: Some(property.line) };
        if !KNOWN.contains(&name.as_str()) {
            let near = schema::nearest(&name, KNOWN).map(|near| format!("; did you mean `{near}`?"));
            warnings.push(format!("{origin}: `{name}` means nothing here{}", near.unwrap_or_default()));
            continue;
        }
        // The tool takes a property without a value as one that is not there.
        let text = property.value.trim();
        if text.is_empty() {
            continue;
        }
        set(&mut layer, &name, text, &property.value, folders, origin);
    }
    Ok(Properties { layer, warnings })
}

fn set(layer: &mut Layer, name: &str, text: &str, exact: &str, folders: &[&Path], origin: Origin) {
    let words = |text: &str| -> Value { text.split_whitespace().map(Value::from).collect::<Vec<_>>().into() };
    match name {
        "issuer" => {
            layer.set(&["clients", CLIENT, "client_id"], text, origin.clone());
            layer.set_grant("client", CLIENT, origin);
        }
        "audience" => layer.set(&["clients", CLIENT, "issuer"], text, origin),
        "token.endpoint" => layer.set(&["clients", CLIENT, "token_endpoint"], text, origin),
        "scope" => layer.set_grant("scopes", words(text), origin),
        "resource" => {
            let items = text.split([',', ' ']).filter(|item| !item.is_empty());
            layer.set_grant("resource", items.map(Value::from).collect::<Vec<_>>(), origin);
        }
        "pid" => layer.set_grant("pid", text, origin),
        "consumer_org" => layer.set_grant("consumer_org", text, origin),
        "keystore.file" => layer.set(&["clients", CLIENT, "key", "file"], locate(text, folders), origin),
        // Spaces may be part of a password.
        "keystore.password" => layer.set(&["clients", CLIENT, "key", "password"], exact, origin),
        "keystore.alias" => layer.set(&["clients", CLIENT, "key", "alias"], text, origin),
        "keystore.alias.password" => layer.set(&["clients", CLIENT, "key", "key_password"], exact, origin),
        "keystore.kid" => layer.set(&["clients", CLIENT, "key", "kid"], text, origin),
        // `keystore.type`: the content says what it is, whatever the file claims.
        _ => {}
    }
}

/// What the tool calls one of our keys: of a client (`true`) or of a grant.
pub(super) fn name_of(key: (bool, &str)) -> Option<&'static str> {
    let name = match key {
        (true, "client_id") => "issuer",
        (true, "issuer" | "environment") => "audience",
        (true, "token_endpoint") => "token.endpoint",
        (true, "key" | "key.file") => "keystore.file",
        (true, "key.password") => "keystore.password",
        (true, "key.alias") => "keystore.alias",
        (true, "key.key_password") => "keystore.alias.password",
        (true, "key.kid") => "keystore.kid",
        (false, "scopes") => "scope",
        (false, "resource") => "resource",
        (false, "pid") => "pid",
        (false, "consumer_org") => "consumer_org",
        _ => return None,
    };
    Some(name)
}

/// The keystore as it is found: the tool looks in the working directory, a person beside the
/// file. Where it is in none of them, the first is where the message will say that it is missing.
fn locate(text: &str, folders: &[&Path]) -> String {
    if text.starts_with("base64:") {
        return text.to_owned();
    }
    let candidates: Vec<PathBuf> = folders.iter().map(|folder| folder.join(text)).collect();
    let found = candidates.iter().find(|path| path.exists()).or(candidates.first());
    found.map_or_else(|| text.to_owned(), |path| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
