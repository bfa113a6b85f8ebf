//! What is wrong with a key that loads all the same.

use std::time::{Duration, SystemTime};

use super::certificate::CertificateInfo;
use super::text::date;

/// How long before its end a certificate is warned of: ordering a new one takes some weeks.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A warning about a key; `Display` is one line with the mend in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyWarning {
    #[error("the certificate ({subject}) ended on {}; order a new one from its issuer", date(*.not_after))]
    CertificateEnded { subject: String, not_after: SystemTime },
    #[error("the certificate ({subject}) ends on {}, in {days} days; order a new one from its issuer", date(*.not_after))]
    CertificateEnds { subject: String, not_after: SystemTime, days: u64 },
    #[error(
        "the certificate's key usage is {key_usage}, without digitalSignature: Maskinporten will refuse it; set \
         `alias` to the signing key"
    )]
    NotForSigning { key_usage: String },
    #[error(
        "the certificate ({subject}) is self-signed: Maskinporten takes business certificates of Buypass and \
         Commfides; for a key that is registered on the client, set `kid`"
    )]
    SelfSigned { subject: String },
    #[error(
        "the file has the certificate alone, not that of its issuer ({issuer}): Maskinporten asks for the whole \
         chain; export the keystore anew with it, or name a file with the chain in `certificate`"
    )]
    ChainIncomplete { issuer: String },
}

/// The warnings about a certificate that is sent in a chain of `chain_length`.
pub(super) fn of(certificate: &CertificateInfo, chain_length: usize, now: SystemTime) -> Vec<KeyWarning> {
    let subject = || certificate.subject.clone();
    let not_after = certificate.not_after;
    let mut warnings = Vec::new();
    // A key stays loaded for as long as the proxy runs, and its certificate may end meanwhile.
    match not_after.duration_since(now) {
        Ok(left) if left <= ENDS_SOON => {
            let days = left.as_secs() / (24 * 60 * 60);
            warnings.push(KeyWarning::CertificateEnds { subject: subject(), not_after, days });
        }
        Ok(_) => {}
        Err(_) => warnings.push(KeyWarning::CertificateEnded { subject: subject(), not_after }),
    }
    if !certificate.may_sign() {
        let key_usage = certificate.key_usage_text().filter(|text| !text.is_empty());
        warnings
            .push(KeyWarning::NotForSigning { key_usage: key_usage.unwrap_or_else(|| "empty".to_owned()) });
    }
    if certificate.self_signed {
        warnings.push(KeyWarning::SelfSigned { subject: subject() });
    } else if chain_length == 1 {
        warnings.push(KeyWarning::ChainIncomplete { issuer: certificate.issuer.clone() });
    }
    warnings
}
