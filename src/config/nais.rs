//! The variables that the NAIS platform gives an application with a Maskinporten client
//! (docs.nais.io, "Maskinporten as consumer"), as a layer. They are used where nothing else
//! configures a client.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Origin;
use super::layer::Layer;

/// The name of the client that the variables make.
const CLIENT: &str = "nais";

/// RFC 8414 §3, behind the issuer as Maskinporten has it.
const WELL_KNOWN: &str = ".well-known/oauth-authorization-server";

/// The client of the variables; `None` where `MASKINPORTEN_CLIENT_ID` is not set.
pub(super) fn read(env: &BTreeMap<String, String>) -> Option<Layer> {
    let variable = |name: &str| {
        let name = format!("MASKINPORTEN_{name}");
        let value = env.get(&name).map(|value| value.trim()).filter(|value| !value.is_empty())?;
        Some((value.to_owned(), Origin::Env(name)))
    };
    let (client_id, origin) = variable("CLIENT_ID")?;
    let mut layer = Layer::new();
    layer.origins.set(format!("clients.{CLIENT}"), origin.clone());
    layer.set(&["clients", CLIENT, "client_id"], client_id, origin.clone());
    layer.set_grant("client", CLIENT, origin);

    if let Some((jwk, origin)) = variable("CLIENT_JWK") {
        if let Some(kid) = key_id(&jwk) {
            layer.set(&["clients", CLIENT, "key", "kid"], kid, origin.clone());
        }
        let inline = format!("base64:{}", STANDARD.encode(jwk));
        layer.set(&["clients", CLIENT, "key", "file"], inline, origin);
    }
    let issuer = variable("ISSUER").or_else(|| {
        let (url, origin) = variable("WELL_KNOWN_URL")?;
        Some((url.strip_suffix(WELL_KNOWN)?.to_owned(), origin))
    });
    if let Some((issuer, origin)) = issuer {
        layer.set(&["clients", CLIENT, "issuer"], issuer, origin);
    }
    if let Some((endpoint, origin)) = variable("TOKEN_ENDPOINT") {
        layer.set(&["clients", CLIENT, "token_endpoint"], endpoint, origin);
    }
    if let Some((scopes, origin)) = variable("SCOPES") {
        let scopes: Vec<&str> = scopes.split_whitespace().collect();
        layer.set_grant("scopes", scopes, origin);
    }
    Some(layer)
}

/// The `kid` of a JWK (RFC 7517 §4.5). A text that is no JWK is told of where the key is loaded.
fn key_id(jwk: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        kid: Option<String>,
    }
    serde_json::from_str::<Named>(jwk).ok()?.kid
}
