//! The questions about the key, helped by a look into its file.

use std::path::PathBuf;

use super::ask::{Asker, Question};
use crate::cli::args::InitArgs;
use crate::cli::failure::Failure;
use crate::keys::{self, EntryInfo, EntryKind, Fault, Format, Inspection, KeyError, Passwords};
use crate::secret::Secret;

const USUAL_VARIABLE: &str = "KEYSTORE_PASSWORD";

/// How the key is to be found and named.
pub(super) struct Key {
    pub(super) file: PathBuf,
    pub(super) alias: Option<String>,
    pub(super) password_env: Option<String>,
    pub(super) kid: Option<String>,
}

pub(super) fn key(args: &InitArgs, asker: &mut Asker) -> Result<Key, Failure> {
    let (file, bytes) = file(args, asker)?;
    let first = bytes.as_ref().map(|bytes| keys::inspect(bytes.expose(), &Passwords::default()));
    let password_env = password_env(args, first.as_ref(), asker)?;
    let inspection = match (&bytes, first) {
        (Some(bytes), Some(first)) => opened(bytes, first, password_env.as_deref(), asker),
        _ => None,
    };
    let found: Vec<&EntryInfo> = inspection
        .iter()
        .flat_map(|inspection| &inspection.entries)
        .filter(|entry| entry.kind == EntryKind::PrivateKey)
        .collect();
    let alias = alias(args, &found, asker)?;
    let chosen = match &alias {
        Some(alias) => found.iter().find(|entry| entry.alias.as_ref() == Some(alias)),
        None => found.first(),
    };
    let has_own_kid = inspection.as_ref().is_some_and(|inspection| inspection.format == Format::Jwk);
    let kid = kid(args, chosen.copied(), has_own_kid, asker)?;
    Ok(Key { file, alias, password_env, kid })
}

/// The content of a key file, where it can be read.
type Content = Option<Secret<Vec<u8>>>;

fn file(args: &InitArgs, asker: &mut Asker) -> Result<(PathBuf, Content), Failure> {
    let given = args.key.as_ref().map(|path| path.to_string_lossy().into_owned());
    let is_person = asker.is_person() && given.is_none();
    let question = Question::new("--key", "Keystore, PEM or JWK with the key").given(given);
    asker.ask(question, |text| {
        let path = PathBuf::from(text);
        match std::fs::read(&path) {
            Ok(bytes) => Ok((path, Some(Secret::new(bytes)))),
            Err(error) if is_person => Err(format!("it cannot be read: {error}")),
            Err(error) => {
                // It may come to be there only where the proxy runs.
                eprintln!(
                    "warning: {} cannot be read, so nothing is known of what it holds: {error}",
                    path.display()
                );
                Ok((path, None))
            }
        }
    })
}

/// The variable that holds the password, where there is one.
fn password_env(
    args: &InitArgs,
    first: Option<&Result<Inspection, KeyError>>,
    asker: &mut Asker,
) -> Result<Option<String>, Failure> {
    if args.password_env.is_none() && !first.is_some_and(is_locked) {
        return Ok(None);
    }
    let question = Question::new("--password-env", "Environment variable that holds the keystore's password")
        .given(args.password_env.clone())
        .default(Some(USUAL_VARIABLE.to_owned()));
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    asker
        .ask(question, |text| match is_name(text) {
            true => Ok(text.to_owned()),
            // Who answers with the password itself does not see it again.
            false => Err("this is no name of a variable: letters, digits and `_`".to_owned()),
        })
        .map(Some)
}

fn is_locked(inspected: &Result<Inspection, KeyError>) -> bool {
    match inspected {
        Ok(inspection) => inspection.entries.iter().any(|entry| entry.opened == Some(false)),
        Err(error) => matches!(*error.fault, Fault::PasswordMissing(_) | Fault::WrongStorePassword(_)),
    }
}

/// What the file holds, opened with the password as far as it is to be had.
fn opened(
    bytes: &Secret<Vec<u8>>,
    first: Result<Inspection, KeyError>,
    variable: Option<&str>,
    asker: &Asker,
) -> Option<Inspection> {
    if !is_locked(&first) {
        return told(first);
    }
    let set = variable.and_then(|variable| std::env::var(variable).ok()).filter(|value| !value.is_empty());
    let password = set.map(Secret::new).or_else(|| {
        asker.password("The keystore's password, to look into it now; it is not kept (Enter: do not look)")
    });
    match password {
        None => first.ok(),
        Some(store) => told(keys::inspect(bytes.expose(), &Passwords { store: Some(store), key: None })),
    }
}

/// A file that cannot be opened is a warning: `check` says it all, with the mend.
fn told(inspected: Result<Inspection, KeyError>) -> Option<Inspection> {
    inspected.map_err(|error| eprintln!("warning: the key file: {}", error.fault)).ok()
}

/// Asked for only where there is a choice.
fn alias(args: &InitArgs, found: &[&EntryInfo], asker: &mut Asker) -> Result<Option<String>, Failure> {
    if let Some(alias) = &args.alias {
        if !found.is_empty() && !found.iter().any(|entry| entry.alias.as_ref() == Some(alias)) {
            eprintln!("warning: the keystore holds no private key under the alias \"{alias}\"");
        }
        return Ok(Some(alias.clone()));
    }
    let named: Vec<&str> = found.iter().filter_map(|entry| entry.alias.as_deref()).collect();
    if found.len() < 2 || named.is_empty() {
        return Ok(None);
    }
    eprintln!("The keystore holds several private keys:");
    for (at, entry) in found.iter().enumerate() {
        eprintln!("  {}  {}", at + 1, described(entry));
    }
    let mut signing =
        found.iter().filter(|entry| entry.is_signing_key).filter_map(|entry| entry.alias.clone());
    let default = signing.next().filter(|_| signing.next().is_none());
    let question = Question::new("--alias", "Which one (alias or number)").default(default);
    asker
        .ask(question, |text| {
            let numbered = text.parse::<usize>().ok().and_then(|number| found.get(number.checked_sub(1)?));
            let by_number = numbered.and_then(|entry| entry.alias.as_deref());
            let by_name = named.iter().copied().find(|alias| *alias == text);
            by_name
                .or(by_number)
                .map(str::to_owned)
                .ok_or_else(|| format!("it is one of: {}", named.join(", ")))
        })
        .map(Some)
}

fn described(entry: &EntryInfo) -> String {
    let mut text = entry.alias.clone().unwrap_or_else(|| "(no alias)".to_owned());
    if let Some(certificate) = &entry.certificate {
        text.push_str(&format!(": {}", certificate.subject));
    }
    text.push_str(if entry.is_signing_key { " (signing key)" } else { " (not for signing)" });
    text
}

/// A key without a certificate is known to Maskinporten by its `kid` alone; one with a certificate
/// may be registered too. A JWK says its own.
fn kid(
    args: &InitArgs,
    chosen: Option<&EntryInfo>,
    has_own: bool,
    asker: &mut Asker,
) -> Result<Option<String>, Failure> {
    if has_own && args.kid.is_none() {
        return Ok(None);
    }
    let is_needed = chosen.is_some_and(|entry| entry.certificate.is_none());
    let text = match is_needed {
        true => "Key id (kid) that the key is registered under on the client",
        false => "Key id (kid), where the key is registered on the client; otherwise the certificate is sent",
    };
    let question =
        Question::new("--kid", text).given(args.kid.clone()).default((!is_needed).then(String::new));
    let kid = asker.ask(question, super::one_word)?;
    Ok((!kid.is_empty()).then_some(kid))
}
