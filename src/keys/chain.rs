//! The certificate chain of a key: leaf first, each followed by its issuer (RFC 7515 §4.1.6).

use super::certificate::Certificate;

/// Longer chains than this do not exist; a bound against issuers that go in a circle.
const MAX_LENGTH: usize = 10;

/// Why there is no chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoLeaf;

/// Picks the certificate of the key out of `pool`, and its issuers after it. Certificates that
/// have nothing to do with the key are left out. Where a key has several certificates (a renewal
/// with the same key), the one that ends last is taken.
pub(super) fn order(public_key: &[u8], pool: &[Certificate]) -> Result<Vec<Certificate>, NoLeaf> {
    let leaf = pool
        .iter()
        .filter(|certificate| certificate.public_key == public_key)
        .max_by_key(|certificate| certificate.info.not_after)
        .ok_or(NoLeaf)?;
    let mut chain = vec![leaf.clone()];
    while chain.len() < MAX_LENGTH {
        let Some(issuer) = issuer_of(&chain[chain.len() - 1], pool) else { break };
        if chain.iter().any(|known| known.der == issuer.der) {
            break;
        }
        chain.push(issuer.clone());
    }
    Ok(chain)
}

/// By name, and among issuers of one name (a CA that renewed its key) by key identifier.
fn issuer_of<'a>(certificate: &Certificate, pool: &'a [Certificate]) -> Option<&'a Certificate> {
    if certificate.info.self_signed {
        return None;
    }
    let mut named = pool.iter().filter(|candidate| candidate.subject == certificate.issuer);
    let by_id = |candidate: &&Certificate| {
        certificate.authority_key_id.is_some() && candidate.subject_key_id == certificate.authority_key_id
    };
    named.clone().find(by_id).or_else(|| named.next())
}

/// The subject to name where no certificate of `pool` is the key's: the first that did not issue
/// another of them.
pub(super) fn subject(pool: &[Certificate]) -> String {
    let is_issuer = |certificate: &Certificate| {
        pool.iter().any(|other| other.der != certificate.der && other.issuer == certificate.subject)
    };
    let leaf = pool.iter().find(|certificate| !is_issuer(certificate)).or_else(|| pool.first());
    leaf.map(|certificate| certificate.info.subject.clone()).unwrap_or_default()
}
