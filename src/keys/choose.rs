//! Picks the entry that is meant, or says what there is to choose from.

use super::Passwords;
use super::certificate::CertificateInfo;
use super::chain;
use super::error::{EntryKind, EntrySummary, Fault};
use super::open::open;
use super::store::{Entry, Keystore, Material};
use super::text::printable;

/// Below this likeness a name is no typo of another.
const LIKENESS: f64 = 0.6;

/// The private key that `alias` names; without an alias, the only key, or the only one of several
/// that may sign. Nothing is guessed beyond that.
pub(super) fn choose<'a>(
    store: &'a Keystore,
    alias: Option<&str>,
    passwords: &Passwords,
) -> Result<&'a Entry, Fault> {
    let keys: Vec<&Entry> = store.keys().collect();
    if keys.is_empty() && alias.is_none() {
        return Err(Fault::NoPrivateKey { entries: summaries(store, store.entries.iter(), passwords) });
    }
    match alias {
        Some(alias) => named(store, alias, &keys, passwords),
        None => unnamed(store, keys, passwords),
    }
}

fn named<'a>(
    store: &'a Keystore,
    alias: &str,
    keys: &[&'a Entry],
    passwords: &Passwords,
) -> Result<&'a Entry, Fault> {
    // PEM and DER have no aliases; one that is configured all the same does no harm.
    if let [key] = keys
        && key.alias.is_none()
    {
        return Ok(key);
    }
    // Java keeps aliases in lower case, and so compares them without regard to it.
    let folded = alias.to_lowercase();
    let exactly = |candidate: &str| candidate == alias;
    let loosely = |candidate: &str| candidate.to_lowercase() == folded;
    let mut found = matching(store, exactly);
    if found.is_empty() {
        found = matching(store, loosely);
    }
    let found_keys: Vec<&Entry> =
        found.iter().copied().filter(|entry| entry.kind() == EntryKind::PrivateKey).collect();
    match (&found_keys[..], &found[..]) {
        ([key], _) => Ok(key),
        ([], []) => Err(Fault::UnknownAlias {
            alias: printable(alias),
            nearest: nearest(alias, store),
            entries: summaries(store, store.entries.iter(), passwords),
        }),
        ([], [other, ..]) => Err(Fault::NotAPrivateKey {
            alias: printable(alias),
            kind: other.kind(),
            keys: summaries(store, keys.iter().copied(), passwords),
        }),
        (several, _) => {
            Err(Fault::SeveralKeys { keys: summaries(store, several.iter().copied(), passwords) })
        }
    }
}

fn matching(store: &Keystore, is_meant: impl Fn(&str) -> bool) -> Vec<&Entry> {
    store.entries.iter().filter(|entry| entry.alias.as_deref().is_some_and(&is_meant)).collect()
}

fn unnamed<'a>(store: &'a Keystore, keys: Vec<&'a Entry>, passwords: &Passwords) -> Result<&'a Entry, Fault> {
    if let [key] = keys[..] {
        return Ok(key);
    }
    let summaries = summaries(store, keys.iter().copied(), passwords);
    let mut signing = keys.iter().zip(&summaries).filter(|(_, summary)| summary.is_signing_key);
    match (signing.next(), signing.next()) {
        (Some((key, _)), None) => Ok(key),
        _ => Err(Fault::SeveralKeys { keys: summaries }),
    }
}

fn nearest(alias: &str, store: &Keystore) -> Option<String> {
    let folded = alias.to_lowercase();
    store
        .keys()
        .filter_map(|key| key.alias.as_ref())
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| printable(candidate))
}

fn summaries<'a>(
    store: &Keystore,
    entries: impl Iterator<Item = &'a Entry>,
    passwords: &Passwords,
) -> Vec<EntrySummary> {
    entries.map(|entry| summary(store, entry, passwords)).collect()
}

fn summary(store: &Keystore, entry: &Entry, passwords: &Passwords) -> EntrySummary {
    let certificate = leaf(store, entry, passwords);
    EntrySummary {
        alias: entry.alias.as_deref().map(printable),
        kind: entry.kind(),
        subject: certificate.as_ref().map(|certificate| certificate.subject.clone()),
        key_usage: certificate.as_ref().and_then(CertificateInfo::key_usage_text),
        is_signing_key: is_signing_key(entry, certificate.as_ref()),
    }
}

/// Whether the key of `entry` may sign grants by what its certificate or JWK says.
pub(super) fn is_signing_key(entry: &Entry, certificate: Option<&CertificateInfo>) -> bool {
    entry.kind() == EntryKind::PrivateKey
        && !entry.not_for_signing
        && certificate.is_none_or(CertificateInfo::may_sign)
}

/// The certificate of an entry: for a key that opens, the one that belongs to it; for one that
/// does not, the one that the file ties to it.
fn leaf(store: &Keystore, entry: &Entry, passwords: &Passwords) -> Option<CertificateInfo> {
    match &entry.material {
        Material::SecretKey => None,
        Material::Certificate(certificate) => Some(certificate.info.clone()),
        Material::PrivateKey { key, certificates } => {
            if let Some(tied) = certificates.first() {
                return Some(tied.info.clone());
            }
            let key = open(key, store.format, entry.alias.as_deref(), passwords).ok()?;
            let chain = chain::order(&key.public_key, &store.certificates_for(entry)).ok()?;
            chain.into_iter().next().map(|certificate| certificate.info)
        }
    }
}
