//! The configuration, valid by construction.
//!
//! What users write (proxy.toml, the properties of jwt-grant-generator, the environment, flags) is
//! layered by figment, held against one table of keys (`schema`) and turned into the types here
//! once; whatever holds a [`Config`] need not ask again whether a value is missing, misspelt or
//! contradicts another. No type here prints a secret, and nothing here opens a key: a configuration
//! is good whether or not the files that it names are there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

mod client;
mod env;
mod error;
mod file;
pub mod identifiers;
mod implied;
pub mod init;
mod layer;
mod listen;
mod load;
mod nais;
mod properties;
mod reference;
mod route;
mod schema;
mod secret_source;
mod sections;
mod show;
mod toml_file;
mod url;
mod validate;

pub use client::{Algorithm, Client, Environment, KeyMaterial, KeySource};
pub use error::{ConfigError, Origin, Problem};
pub use listen::{Listen, ListenError};
pub use load::{LoadRequest, Loaded, Overrides, load};
pub use reference::reference;
pub use route::{Access, ClaimSource, Exchange, GrantTemplate, PathPrefix, Route};
pub use secret_source::{SecretSource, SecretSourceError};
pub use sections::{Forward, Inbound, InboundTls, OtherHosts, UpstreamSettings};
pub use show::{Setting, show, show_json};
pub use url::{HttpProxy, HttpUrl, Scheme, Upstream, UrlError};

/// Everything that `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Listen,
    /// `None` where `admin = "off"`.
    pub admin: Option<Listen>,
    /// Worker threads that carry requests.
    pub threads: NonZeroUsize,
    pub clients: BTreeMap<String, Arc<Client>>,
    /// In the order of the file; no two match the same requests.
    pub routes: Vec<Arc<Route>>,
    /// What `token` asks for where there is no route: a properties file, or the variables of the
    /// NAIS platform, that say nothing of an upstream.
    pub token_only: Option<GrantTemplate>,
    pub forward: Forward,
    pub inbound: Inbound,
    pub upstream: UpstreamSettings,
    /// The folder that relative paths were resolved against (the first file's), where the local
    /// CA and other state lives beside the configuration.
    pub base_dir: PathBuf,
    /// Files whose change asks for a reload: the configuration itself and what it names (keys,
    /// certificates, password files).
    pub watched: Vec<PathBuf>,
    /// What is allowed, but probably not meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// The listeners that other machines can reach, each with the key that configures it.
    ///
    /// [`load`] refuses them without an inbound password or a client CA. A password that comes
    /// from a command is known only once it has run: whoever resolves it to nothing must refuse
    /// to start while this is not empty.
    pub fn exposed_listeners(&self) -> impl Iterator<Item = (&'static str, &Listen)> {
        [("listen", Some(&self.listen)), ("admin", self.admin.as_ref())]
            .into_iter()
            .filter_map(|(key, listen)| Some((key, listen?)))
            .filter(|(_, listen)| !listen.is_local())
    }
}

#[cfg(test)]
mod tests;
