//! [`Client`]: a Maskinporten client, its environment and its key.

use std::path::PathBuf;

use super::{HttpUrl, SecretSource};
use crate::secret::Secret;

/// One Maskinporten client: who asks for tokens, where, and with which key.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    pub name: String,
    pub client_id: String,
    /// The environment that was named, or that the issuer is the one of.
    pub environment: Option<Environment>,
    /// The issuer exactly as its metadata gives it; the grant's `aud`.
    pub issuer: String,
    /// `None`: taken from the issuer's metadata (RFC 8414).
    pub token_endpoint: Option<HttpUrl>,
    /// The Altinn platform for `exchange = "altinn"`.
    pub altinn: Option<HttpUrl>,
    pub key: KeySource,
}

/// A Maskinporten environment of Digdir's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Test,
    Prod,
}

/// Where the signing key is and how it is opened.
#[derive(Debug, PartialEq, Eq)]
pub struct KeySource {
    pub material: KeyMaterial,
    /// A certificate (chain) in PEM or DER that stands beside a key file without one.
    pub certificate: Option<PathBuf>,
    pub alias: Option<String>,
    pub password: Option<SecretSource>,
    /// The key's own password, where it differs from the keystore's.
    pub key_password: Option<SecretSource>,
    pub algorithm: Algorithm,
    /// The `kid` under which the key is registered on the client; sent in place of `x5c`.
    pub kid: Option<String>,
}

/// The bytes of a keystore or key.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    File(PathBuf),
    /// `keystore.file=base64:…` of a properties file, or the JWK of an environment variable.
    Inline(Secret<Vec<u8>>),
}

/// The algorithms that Maskinporten accepts (RFC 7518 §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    #[default]
    Rs256,
    Rs384,
    Rs512,
}

impl Environment {
    pub const ALL: [Self; 2] = [Self::Test, Self::Prod];

    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Prod => "prod",
        }
    }

    /// With the slash at its end, as the metadata gives it.
    pub fn issuer(self) -> &'static str {
        match self {
            Self::Test => "https://test.maskinporten.no/",
            Self::Prod => "https://maskinporten.no/",
        }
    }

    /// The environment whose issuer this is, to the letter.
    pub fn of_issuer(issuer: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| environment.issuer() == issuer)
    }

    pub fn token_endpoint(self) -> &'static str {
        match self {
            Self::Test => "https://test.maskinporten.no/token",
            Self::Prod => "https://maskinporten.no/token",
        }
    }

    /// The API for clients and scopes, without a path.
    pub fn self_service(self) -> &'static str {
        match self {
            Self::Test => "https://api.test.samarbeid.digdir.no",
            Self::Prod => "https://api.samarbeid.digdir.no",
        }
    }

    /// The Altinn platform that swaps tokens of this environment.
    pub fn altinn(self) -> &'static str {
        match self {
            Self::Test => "https://platform.tt02.altinn.no",
            Self::Prod => "https://platform.altinn.no",
        }
    }
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Rs384, Self::Rs512];

    /// The algorithm of that name, as JOSE spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}
