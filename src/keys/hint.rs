//! The next step for each [`Fault`]: what a colleague who has seen it before would say.

use super::error::{EntrySummary, Fault, Format, KeyError, Location, Lookalike};
use super::text::shell_quoted;

impl KeyError {
    /// The next step, where there is one.
    pub fn hint(&self) -> Option<String> {
        hint(&self.fault, &self.location)
    }
}

fn hint(fault: &Fault, location: &Location) -> Option<String> {
    let file = argument(location);
    Some(match fault {
        Fault::Missing => "a relative path is taken from the folder of the configuration file that names it; \
                           check the spelling"
            .to_owned(),
        Fault::Unreadable(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            format!("let the user that runs the proxy read it: chown it to them and chmod 600 {file}")
        }
        Fault::Unreadable(_) => "it has to be a regular file that the user who runs the proxy can read".to_owned(),
        Fault::TooLarge { .. } => "check that the right file is named".to_owned(),
        Fault::Empty => "it may be half-written, or a secret that is not mounted yet; copy it anew".to_owned(),
        Fault::NotAKeystore(lookalike) => lookalike_hint(*lookalike, &file)?,
        Fault::NotACertificate(_) => {
            "`certificate` names a file with the certificate (chain) in PEM or DER; the key's own file goes in \
             `file`"
                .to_owned()
        }
        Fault::UnsupportedStore("JCEKS") => format!(
            "convert it: keytool -importkeystore -srcstoretype JCEKS -srckeystore {file} -deststoretype PKCS12 \
             -destkeystore new.p12"
        ),
        Fault::UnsupportedStore(_) => {
            "open it in KeyStore Explorer and save it as PKCS#12 (Tools, Change KeyStore Type)".to_owned()
        }
        Fault::Truncated(_) | Fault::Corrupt { .. } => {
            "copy the file anew from where it came, in binary mode; if it is being replaced, move the new one into \
             place whole"
                .to_owned()
        }
        Fault::PasswordMissing(Format::Pem | Format::Der) => {
            "the key is encrypted: set `password` of the key, e.g. password = { env = \"KEY_PASSWORD\" }".to_owned()
        }
        Fault::PasswordMissing(_) => {
            "set `password` of the key, e.g. password = { env = \"KEYSTORE_PASSWORD\" }; an empty one counts as none"
                .to_owned()
        }
        Fault::WrongStorePassword(Format::Pem | Format::Der) => {
            format!("try it by hand: openssl pkey -in {file} -noout")
        }
        Fault::WrongStorePassword(_) => format!(
            "try it by hand: keytool -list -keystore {file}; beware of spaces and line endings at the end of a \
             password"
        ),
        Fault::WrongKeyPassword { own: false, .. } => {
            "the key has a password of its own: set `key_password` (keystore.alias.password in a .properties file)"
                .to_owned()
        }
        Fault::WrongKeyPassword { own: true, .. } => {
            "check `key_password`; leave it out if the key has the keystore's password".to_owned()
        }
        Fault::UnsupportedEncryption { format, .. } => reencrypt(*format, &file),
        Fault::TooCostly(format) => reencrypt(*format, &file),
        Fault::UnknownAlias { nearest, entries, .. } => unknown_alias(nearest.as_deref(), entries),
        Fault::NotAPrivateKey { keys, .. } => key_under_another_alias(keys),
        Fault::NoPrivateKey { .. } => no_private_key(),
        Fault::SeveralKeys { keys } => several_keys(keys),
        Fault::UnsupportedKeyAlgorithm(_) => {
            "use the RSA key of your business certificate, or make one: maskinporten-proxy key generate --out key.pem"
                .to_owned()
        }
        Fault::KeyTooSmall { .. } => {
            "order a new certificate, or make a key and register it: maskinporten-proxy key generate --out key.pem"
                .to_owned()
        }
        Fault::InvalidKey(_) => "export the key anew from where it was made".to_owned(),
        Fault::AlgorithmMismatch { declared, .. } if matches!(&**declared, "RS256" | "RS384" | "RS512") => {
            format!("set alg = \"{declared}\" for the key")
        }
        Fault::AlgorithmMismatch { .. } => {
            "Maskinporten takes RS256, RS384 and RS512; make a key for one of them: maskinporten-proxy key generate \
             --out key.pem"
                .to_owned()
        }
        Fault::CertificateMismatch { .. } => {
            "the two are from different orders or renewals: export key and certificate together; with a key that \
             is registered on the client, set `kid` and no certificate is needed"
                .to_owned()
        }
        Fault::CertificateExpired { .. } => {
            "order a new business certificate from Buypass or Commfides, and point `file` at it; or register a key \
             on the client and set `kid`; if the date is still to come, set this machine's clock"
                .to_owned()
        }
        Fault::CertificateNotYetValid { .. } => {
            "check this machine's clock; otherwise use the certificate that is valid now".to_owned()
        }
        Fault::NeitherKidNorCertificate => {
            "set `kid` to the one the key is registered under on the client; for a business certificate, name its \
             file in `certificate`"
                .to_owned()
        }
    })
}

fn lookalike_hint(lookalike: Lookalike, file: &str) -> Option<String> {
    Some(match lookalike {
        Lookalike::Certificate | Lookalike::CertificateBundle => {
            "a certificate says who you are, the private key proves it: name the keystore (.p12, .jks) or the file \
             that holds the private key; the certificate can stand beside it as `certificate`"
                .to_owned()
        }
        Lookalike::CertificateRequest => {
            "a request is sent to the issuer; name the private key that was made together with it".to_owned()
        }
        Lookalike::PublicKey => {
            "the public key is what is registered on the client; name its private key here".to_owned()
        }
        Lookalike::OpenSshKey => {
            "SSH keys are no keys for Maskinporten; if this one is registered all the same, copy it and turn the copy \
             into PEM: ssh-keygen -p -m PKCS8 -f COPY"
                .to_owned()
        }
        Lookalike::PuttyKey | Lookalike::Pgp | Lookalike::Html | Lookalike::Json | Lookalike::Unknown => {
            "a JKS, PKCS#12, PEM or JWK file is needed; `maskinporten-proxy key inspect FILE` says what a file holds"
                .to_owned()
        }
        Lookalike::Base64(_) => format!("decode it first: base64 -d {file} > keystore"),
        Lookalike::Utf16Text => "save it anew as UTF-8 or ANSI, or write it with openssl".to_owned(),
        Lookalike::PrivateKey => return None,
    })
}

fn reencrypt(format: Format, file: &str) -> String {
    match format {
        Format::Pkcs12 => format!(
            "write it anew: openssl pkcs12 -legacy -in {file} -out key.pem, which asks for a password for the new \
             file; then name key.pem"
        ),
        Format::Jks => format!(
            "write it anew: keytool -importkeystore -srckeystore {file} -deststoretype PKCS12 -destkeystore new.p12"
        ),
        _ => format!(
            "write it anew: openssl pkcs8 -topk8 -in {file} -out new.pem (add -provider legacy -provider \
                      default if openssl refuses)"
        ),
    }
}

fn unknown_alias(nearest: Option<&str>, entries: &[EntrySummary]) -> String {
    if let Some(nearest) = nearest {
        return format!("did you mean \"{nearest}\"?");
    }
    match aliases(entries, |entry| entry.is_signing_key).as_slice() {
        [alias] => format!("the signing key is {alias}: set alias = {alias}, or leave it out"),
        _ => "set `alias` to one of them".to_owned(),
    }
}

fn several_keys(keys: &[EntrySummary]) -> String {
    match aliases(keys, |key| key.is_signing_key).as_slice() {
        [] => "keep the signing key (digitalSignature) alone in the file, or set `alias` to one of them"
            .to_owned(),
        aliases => format!("set alias = {}", aliases.join(" or alias = ")),
    }
}

fn key_under_another_alias(keys: &[EntrySummary]) -> String {
    let mut found = aliases(keys, |key| key.is_signing_key);
    if found.is_empty() {
        found = aliases(keys, |_| true);
    }
    match found.is_empty() {
        true => no_private_key(),
        false => format!("the private key is under the alias {}", found.join(" or ")),
    }
}

fn aliases(entries: &[EntrySummary], is_wanted: impl Fn(&EntrySummary) -> bool) -> Vec<String> {
    let wanted = entries.iter().filter(|entry| is_wanted(entry));
    wanted.filter_map(|entry| entry.alias.as_ref()).map(|alias| format!("\"{alias}\"")).collect()
}

fn no_private_key() -> String {
    "this file is a trust store, or only the public part was exported; name the keystore that was delivered with \
     the private key"
        .to_owned()
}

/// The file as an argument of a shell command.
fn argument(location: &Location) -> String {
    match location {
        Location::Inline => "FILE".to_owned(),
        Location::File(path) => shell_quoted(&path.to_string_lossy()),
    }
}
