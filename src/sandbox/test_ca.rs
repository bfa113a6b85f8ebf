//! A certificate authority that issues business certificates for the sandbox: a root, and an
//! issuing authority under it, as the real ones have. Its keys are in memory only.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SubjectPublicKeyInfo,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// organizationIdentifier (X.520).
const ORGANIZATION_IDENTIFIER: &[u64] = &[2, 5, 4, 97];
/// serialNumber, the subject's attribute (X.520).
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

/// The authority and its keys.
pub struct TestCa {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A business certificate to issue.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// The organisation number, nine digits.
    pub organisation: String,
    /// The subject's common name.
    pub name: String,
    /// Good from this time on.
    pub not_before: SystemTime,
    /// Good until this time.
    pub not_after: SystemTime,
    /// Where the number stands: `organizationIdentifier` (SEID 2.0), or `serialNumber` (older).
    pub seid2: bool,
    /// What the key is for; digitalSignature is what grants need.
    pub key_usages: Vec<KeyUsagePurpose>,
}

impl CertificateSpec {
    /// A certificate that is good from a day before `now` for two years.
    pub fn new(organisation: impl Into<String>, now: SystemTime) -> Self {
        Self {
            organisation: organisation.into(),
            name: "Sandkassen AS".to_owned(),
            not_before: now - DAY,
            not_after: now + 730 * DAY,
            seid2: true,
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
        }
    }
}

impl TestCa {
    /// An authority that is good around `now`, with `name` in its certificates.
    pub fn new(name: &str, now: SystemTime) -> Result<Self, rcgen::Error> {
        let params = |common_name: String, path: u8| {
            let mut params = CertificateParams::default();
            params.distinguished_name = subject(&common_name);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.not_before = (now - 30 * DAY).into();
            params.not_after = (now + 3650 * DAY).into();
            params
        };
        let root_key = KeyPair::generate()?;
        let root_params = params(format!("{name} root"), 1);
        let root = root_params.self_signed(&root_key)?;
        let key = KeyPair::generate()?;
        let intermediate_params = params(format!("{name} issuing authority"), 0);
        let intermediate = intermediate_params.signed_by(&key, &Issuer::new(root_params, root_key))?;
        Ok(Self {
            root: der(&root),
            intermediate: der(&intermediate),
            issuer: Issuer::new(intermediate_params, key),
        })
    }

    /// A certificate for the public key `spki` (SubjectPublicKeyInfo, DER), with its chain: leaf,
    /// issuing authority, root; DER.
    pub fn issue(&self, spec: &CertificateSpec, spki: &[u8]) -> Result<Vec<Vec<u8>>, rcgen::Error> {
        let key = SubjectPublicKeyInfo::from_der(spki)?;
        let leaf = leaf_params(spec).signed_by(&key, &self.issuer)?;
        Ok(vec![der(&leaf), self.intermediate.clone(), self.root.clone()])
    }

    /// The root certificate, DER: what a sandbox is told to trust.
    pub fn root(&self) -> &[u8] {
        &self.root
    }
}

fn leaf_params(spec: &CertificateSpec) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&spec.name);
    let (attribute, value) = match spec.seid2 {
        true => (ORGANIZATION_IDENTIFIER, format!("NTRNO-{}", spec.organisation)),
        false => (SERIAL_NUMBER, spec.organisation.clone()),
    };
    params.distinguished_name.push(DnType::CustomDnType(attribute.to_vec()), value);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = spec.key_usages.clone();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = spec.not_before.into();
    params.not_after = spec.not_after.into();
    params
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "NO");
    name.push(DnType::OrganizationName, "Sandkassen AS");
    name.push(DnType::CommonName, common_name);
    name
}

fn der(certificate: &Certificate) -> Vec<u8> {
    certificate.der().to_vec()
}
