//! Clients and their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Checker, Clients, NAME, is_name, retired};
use crate::config::{Algorithm, Client, Environment, HttpUrl, KeyMaterial, KeySource, UrlError, file};
use crate::secret::Secret;

/// As people and tools write it: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const SAFE_URL: &str = "an https URL (http for a loopback host)";

impl Checker<'_> {
    pub(super) fn clients(&mut self, clients: BTreeMap<String, file::Client>) -> Clients {
        clients
            .into_iter()
            .map(|(name, client)| {
                let valid = self.client(&name, client).map(Arc::new);
                (name, valid)
            })
            .collect()
    }

    fn client(&mut self, name: &str, client: file::Client) -> Option<Client> {
        let path = format!("clients.{name}");
        let at = |key: &str| format!("{path}.{key}");
        if !is_name(name) {
            self.refuse(&path, None, "this is no name for a client", Some(NAME));
        }
        let client_id = self
            .required(client.client_id, &at("client_id"), "the client's id from the self-service portal")
            .and_then(|id| self.word(id, &at("client_id")));
        let issuer = match (client.environment, client.issuer) {
            (Some(_), Some(issuer)) => {
                let message = "`environment` says which issuer it is; only one of the two can be set";
                self.refuse(&at("issuer"), Some(&issuer), message, None);
                None
            }
            (Some(environment), None) => Some((Some(environment), environment.issuer().to_owned())),
            (None, Some(issuer)) => {
                self.issuer(issuer, &at("issuer")).map(|issuer| (Environment::of_issuer(&issuer), issuer))
            }
            (None, None) => {
                let allowed = "\"test\" or \"prod\", or `issuer` in place of it";
                self.required(None, &at("environment"), allowed)
            }
        };
        let token_endpoint = client.token_endpoint.map(|url| self.endpoint(&url, &at("token_endpoint")));
        let altinn = client.altinn.map(|url| self.endpoint(&url, &at("altinn")));
        let key = self.key(client.key.unwrap_or_default(), &at("key"));

        let (environment, issuer) = issuer?;
        let known = |url: fn(Environment) -> &'static str| {
            environment
                .map(|environment| url(environment).parse().expect("the URLs of environments are valid"))
        };
        Some(Client {
            name: name.to_owned(),
            client_id: client_id?,
            environment,
            issuer,
            token_endpoint: match token_endpoint {
                Some(configured) => Some(configured?),
                None => known(Environment::token_endpoint),
            },
            altinn: match altinn {
                Some(configured) => Some(configured?),
                None => known(Environment::altinn),
            },
            key: key?,
        })
    }

    /// The issuer stays the text that it is: the grant's `aud` must equal it to the letter.
    fn issuer(&mut self, issuer: String, path: &str) -> Option<String> {
        let url = self.endpoint(&issuer, path)?;
        if url.path.contains('?') {
            self.refuse(path, Some(&issuer), UrlError::Query, None);
            return None;
        }
        if !issuer.ends_with('/') {
            let message = "the slash at its end is missing: the issuer's metadata has it, and the grant's audience must equal it to the letter";
            let allowed = format!("\"{issuer}/\"");
            self.refuse(path, Some(&issuer), message, Some(&allowed));
            return None;
        }
        Some(issuer)
    }

    fn endpoint(&mut self, text: &str, path: &str) -> Option<HttpUrl> {
        let url: HttpUrl = self.parse(path, text, SAFE_URL)?;
        self.not_retired(url.authority.host(), path, text).then_some(url)
    }

    /// Whether the host is still in service; a problem names what took its place.
    pub(super) fn not_retired(&mut self, host: &crate::authority::Host, path: &str, text: &str) -> bool {
        let Some(replacement) = retired::replacement(host) else { return true };
        let message = format!("{host} is retired; its place was taken by {replacement}");
        self.refuse(path, Some(text), message, None);
        false
    }

    fn key(&mut self, key: file::Key, path: &str) -> Option<KeySource> {
        let at = |key: &str| format!("{path}.{key}");
        let file = self.required(key.file, &at("file"), "the keystore or key: JKS, PKCS#12, PEM or JWK");
        let material = file.and_then(|text| self.material(&text, &at("file")));
        let certificate = key.certificate.map(|text| self.watched_file(&at("certificate"), &text));
        let algorithm = match key.alg {
            None => Some(Algorithm::default()),
            Some(name) => self.algorithm(&name, &at("alg")),
        };
        let alias = key.alias.filter(|alias| !alias.is_empty());
        let kid = key.kid.map(|kid| self.word(kid, &at("kid")));
        let password = self.secret(key.password, &at("password"));
        let key_password = self.secret(key.key_password, &at("key_password"));
        Some(KeySource {
            material: material?,
            certificate: certificate.transpose_valid()?,
            alias,
            password,
            key_password,
            algorithm: algorithm?,
            kid: kid.transpose_valid()?,
        })
    }

    fn material(&mut self, text: &str, path: &str) -> Option<KeyMaterial> {
        let Some(inline) = text.strip_prefix("base64:") else {
            return self.private_file(path, text).map(KeyMaterial::File);
        };
        self.holds_secret(path);
        let digits: Vec<u8> = inline.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        match BASE64.decode(zeroize::Zeroizing::new(digits)) {
            Ok(bytes) if !bytes.is_empty() => Some(KeyMaterial::Inline(Secret::new(bytes))),
            _ => {
                self.refuse(path, None, "what stands behind `base64:` is not base64, or is nothing", None);
                None
            }
        }
    }

    fn algorithm(&mut self, name: &str, path: &str) -> Option<Algorithm> {
        let algorithm = Algorithm::from_name(name);
        if algorithm.is_none() {
            let message =
                "Maskinporten accepts RSA signatures with PKCS#1 v1.5 padding alone, no ES… and no PS…";
            self.refuse_unknown(path, name, message, Algorithm::ALL.into_iter().map(Algorithm::name));
        }
        algorithm
    }
}

/// An optional value that was checked: left out, valid, or a problem that is noted already.
trait TransposeValid<T> {
    /// `None` where there was a problem.
    fn transpose_valid(self) -> Option<Option<T>>;
}

impl<T> TransposeValid<T> for Option<Option<T>> {
    fn transpose_valid(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(checked) => checked.map(Some),
        }
    }
}
