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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};

    use super::*;

    struct Ca {
        issuer: Issuer<'static, KeyPair>,
        certificate: Certificate,
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn key() -> KeyPair {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
    }

    fn ca(name: &str, issued_by: Option<&Ca>) -> Ca {
        let (params, key) = (params(name), key());
        let der = match issued_by {
            Some(ca) => params.signed_by(&key, &ca.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let certificate = Certificate::parse(der.der()).unwrap();
        Ca { issuer: Issuer::new(params, key), certificate }
    }

    fn subjects(chain: &[Certificate]) -> Vec<&str> {
        chain.iter().map(|certificate| certificate.info.subject.as_str()).collect()
    }

    #[test]
    fn puts_a_shuffled_pool_in_order_and_leaves_strangers_out() {
        let root = ca("root", None);
        let intermediate = ca("intermediate", Some(&root));
        let leaf = ca("leaf", Some(&intermediate));
        let stranger = ca("stranger", None);
        let pool = [stranger, root, leaf, intermediate].map(|ca| ca.certificate);
        let chain = order(&pool[2].public_key, &pool).unwrap();
        assert_eq!(subjects(&chain), ["CN=leaf", "CN=intermediate", "CN=root"]);
        assert_eq!(subject(&pool[1..]), "CN=leaf");
    }

    #[test]
    fn of_two_issuers_with_one_name_the_one_whose_key_signed_is_taken() {
        let (old, new) = (ca("ca", None), ca("ca", None));
        let leaf = ca("leaf", Some(&new)).certificate;
        let pool = [old.certificate, new.certificate.clone(), leaf.clone()];
        let chain = order(&leaf.public_key, &pool).unwrap();
        assert_eq!(chain[1].der, new.certificate.der);
    }

    #[test]
    fn issuers_that_go_in_a_circle_end() {
        let (a, b) = (ca("a", None), ca("b", None));
        // Each issued by the other's name.
        let (a, b) = (ca("a", Some(&b)), ca("b", Some(&a)));
        let pool = [a.certificate, b.certificate];
        assert_eq!(subjects(&order(&pool[0].public_key, &pool).unwrap()), ["CN=a", "CN=b"]);
    }

    #[test]
    fn a_key_without_a_certificate_has_no_chain() {
        let pool = [ca("a", None).certificate];
        assert_eq!(order(b"another key", &pool).unwrap_err(), NoLeaf);
        assert_eq!(order(b"", &[]).unwrap_err(), NoLeaf);
    }
}
