//! Opening what the configuration names as secret: signing keys and the inbound password.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::BuildError;
use crate::clock::Clock;
use crate::config::{Algorithm, Client, Config, SecretSource};
use crate::keys::{Credential, Passwords, SigningKey};
use crate::oauth;
use crate::secret::Secret;

/// Opens the key of one client.
///
/// # Errors
///
/// A password that cannot be read, or what is wrong with the key.
pub fn load(client: &Client, now: SystemTime) -> Result<SigningKey, BuildError> {
    let resolve = |what: &str, source: Option<&SecretSource>| {
        source.map_or(Ok(None), SecretSource::resolve).map_err(|source| BuildError::Secret {
            what: format!("{what} of client `{}`", client.name),
            source,
        })
    };
    let passwords = Passwords {
        store: resolve("keystore password", client.key.password.as_ref())?,
        key: resolve("key password", client.key.key_password.as_ref())?,
    };
    SigningKey::load(&client.key, &passwords, now)
        .map_err(|source| BuildError::Key { client: client.name.clone(), source })
}

pub(super) fn load_all(
    config: &Config,
    clock: &Clock,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, SigningKey>, BuildError> {
    let mut keys = BTreeMap::new();
    for client in config.clients.values() {
        let key = load(client, clock.wall())?;
        for warning in key.warnings(clock.wall()) {
            warnings.push(format!("the key of client `{}`: {warning}", client.name));
        }
        keys.insert(client.name.clone(), key);
    }
    Ok(keys)
}

/// The password that `[inbound]` asks for. One that turns out to be empty counts as none, which
/// listeners that other machines can reach may not do without.
pub(super) fn inbound_password(config: &Config) -> Result<Option<Secret<String>>, BuildError> {
    let source = config.inbound.password.as_ref();
    let password = source
        .map_or(Ok(None), SecretSource::resolve)
        .map_err(|source| BuildError::Secret { what: "inbound password".to_owned(), source })?;
    let has_client_ca = config.inbound.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if password.is_none()
        && !has_client_ca
        && let Some((listener, address)) = config.exposed_listeners().next()
    {
        return Err(BuildError::NoPassword { listener, address: address.clone() });
    }
    Ok(password)
}

/// A key as the grant wants it.
#[derive(Debug)]
struct KeySigner(SigningKey);

impl oauth::Signer for KeySigner {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    fn x5c(&self) -> Option<&[String]> {
        self.0.x5c()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, oauth::SignError> {
        self.0.sign(message).map_err(|error| oauth::SignError::Key(error.to_string()))
    }

    fn identity(&self) -> oauth::KeyIdentity {
        // The parts have fixed lengths but for the last, so no two keys make the same bytes.
        let identity = self.0.identity();
        let (kind, credential) = match &identity.credential {
            Credential::Kid(kid) => (b'k', kid.as_bytes()),
            Credential::Chain(hash) => (b'c', &hash[..]),
        };
        let parts = [&identity.public_key[..], identity.algorithm.name().as_bytes(), &[kind], credential];
        oauth::KeyIdentity::new(&parts.concat())
    }
}

pub(super) fn signer(key: &SigningKey) -> Arc<dyn oauth::Signer> {
    Arc::new(KeySigner(key.clone()))
}
