//! Name constraints: written so that verifiers of every make agree, and read back with suspicion.
//!
//! The shape below was tried on OpenSSL, GnuTLS, NSS, Java's PKIX and webpki, which differ at the
//! edges: Java compares IPv4 constraints with IPv6 addresses byte for byte, and fails on an
//! excluded `::/0` beside a permitted IPv4 address; it takes an empty excluded DNS name for
//! nothing at all; GnuTLS holds each address family to its own constraints alone; webpki refuses
//! everything below a directory name constraint. Hence permitted names that no one can have, where
//! an exclusion would seem the natural way.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::authority::Host;

use super::{CaError, RoutedNames};

/// Stands for "no DNS name": reserved never to exist (RFC 6761 §6.4).
const NO_NAME: &str = "invalid";

/// Stands for "no IPv4 address": the first of TEST-NET-1 (RFC 5737).
const NO_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 0);

/// Stands for "no IPv6 address": the first of the documentation prefix (RFC 3849).
const NO_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// Constraints that permit exactly `names`.
pub(super) fn permitting(names: &RoutedNames) -> NameConstraints {
    let mut permitted = Vec::new();
    let mut excluded = Vec::new();

    let dns_names: Vec<&str> = names
        .iter()
        .filter_map(|host| match host {
            Host::Name(name) => Some(&**name),
            _ => None,
        })
        .collect();
    for name in if dns_names.is_empty() { &[NO_NAME][..] } else { &dns_names } {
        permitted.push(GeneralSubtree::DnsName((*name).to_owned()));
        // A permitted name brings its subdomains with it (RFC 5280 §4.2.1.10); the leading dot
        // excludes them again.
        let subdomains = format!(".{name}");
        if !dns_names.iter().any(|other| other.ends_with(&subdomains)) {
            excluded.push(GeneralSubtree::DnsName(subdomains));
        }
    }

    let any_v4 = names.iter().any(|host| matches!(host, Host::V4(_)));
    let any_v6 = names.iter().any(|host| matches!(host, Host::V6(_)));
    if any_v4 || any_v6 {
        permitted.extend(names.iter().filter_map(|host| match host {
            Host::Name(_) => None,
            Host::V4(address) => Some(single_v4(*address)),
            Host::V6(address) => Some(single_v6(*address)),
        }));
        if !any_v4 {
            permitted.push(single_v4(NO_V4));
        }
        if !any_v6 {
            permitted.push(single_v6(NO_V6));
        }
    } else {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }

    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

fn single_v4(address: Ipv4Addr) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::V4(address.octets(), [0xff; 4]))
}

fn single_v6(address: Ipv6Addr) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::V6(address.octets(), [0xff; 16]))
}

/// A CA certificate that was read and found constrained.
pub(super) struct Examined<'a> {
    certificate: X509Certificate<'a>,
    pub(super) names: RoutedNames,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

/// Parses a CA certificate and takes the permitted hosts out of it.
///
/// # Errors
///
/// [`CaError::Damaged`] where it is no CA certificate; [`CaError::Unconstrained`] where its name
/// constraints are missing, not critical, leave a kind of name open, or permit whole networks.
pub(super) fn examine<'a>(der: &'a CertificateDer<'_>, path: &Path) -> Result<Examined<'a>, CaError> {
    let damaged = |what| CaError::Damaged { path: path.to_owned(), what };
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| damaged("holds no certificate that can be read"))?;
    if !certificate.is_ca() {
        return Err(damaged("holds a certificate that is not a CA's"));
    }
    let names =
        permitted_hosts(&certificate).ok_or_else(|| CaError::Unconstrained { path: path.to_owned() })?;
    let validity = certificate.validity();
    Ok(Examined {
        not_before: validity.not_before.to_datetime(),
        not_after: validity.not_after.to_datetime(),
        names,
        certificate,
    })
}

impl Examined<'_> {
    /// The uncompressed point of an elliptic-curve key.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.certificate.public_key().subject_public_key.data
    }

    pub(super) fn is_signed_by(&self, issuer: &Examined<'_>) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, issuer.public_key());
        self.certificate.issuer() == issuer.certificate.subject()
            && key
                .verify(self.certificate.tbs_certificate.as_ref(), &self.certificate.signature_value.data)
                .is_ok()
    }
}

/// `None` unless the certificate is constrained to single hosts, in every kind of host.
fn permitted_hosts(certificate: &X509Certificate<'_>) -> Option<RoutedNames> {
    let extension = certificate.name_constraints().ok()??;
    let (mut names, mut v4, mut v6) = (false, false, false);
    let mut hosts = Vec::new();
    for subtree in extension.value.permitted_subtrees.iter().flatten() {
        match subtree.base {
            GeneralName::DNSName(name) => {
                names = true;
                match name.parse().ok()? {
                    host @ Host::Name(_) => hosts.push(host),
                    _ => return None,
                }
            }
            GeneralName::IPAddress(bytes) => match bytes.len() {
                8 => {
                    v4 = true;
                    let address = bytes.strip_suffix(&[0xff; 4])?;
                    hosts.push(Host::V4(<[u8; 4]>::try_from(address).ok()?.into()));
                }
                32 => {
                    v6 = true;
                    let address = bytes.strip_suffix(&[0xff; 16])?;
                    hosts.push(Host::V6(<[u8; 16]>::try_from(address).ok()?.into()));
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    for subtree in extension.value.excluded_subtrees.iter().flatten() {
        if let GeneralName::IPAddress(bytes) = subtree.base {
            v4 |= bytes == [0; 8];
            v6 |= bytes == [0; 32];
        }
    }
    let nobody = [Host::Name(NO_NAME.into()), Host::V4(NO_V4), Host::V6(NO_V6)];
    hosts.retain(|host| !nobody.contains(host));
    (extension.critical && names && v4 && v6).then(|| hosts.into_iter().collect())
}
