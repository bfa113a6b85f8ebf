//! The local certificate authority behind TLS interception.
//!
//! [`init`] makes a root that signs one intermediate, and throws the root's key away before it
//! returns: it is never encoded, let alone written. The intermediate signs short-lived leaves
//! ([`Leaves`]). Both certificates carry critical name constraints (RFC 5280 §4.2.1.10) that
//! permit the routed hosts and nothing else, so whoever steals the intermediate's key can
//! impersonate those hosts, to the clients that trust this root, and no one else.
//!
//! This module never installs trust anywhere, never makes a CA unasked, and never signs for a
//! host outside the constraints, even though verifiers would refuse such a leaf.
//!
//! What name constraints cannot do: they bind DNS names and addresses. A verifier so old that it
//! takes the host from the subject's common name, and only checks constraints against common
//! names with a dot in them (OpenSSL's fallback), could be shown a forged leaf for a name of one
//! label, such as `localhost`. A host that has a routed subdomain is permitted with all its
//! subdomains, since the exclusion of these would take the routed one along.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::authority::Host;
use crate::config::Config;

use self::certificate::{Authorities, P256Key};

pub use self::error::CaError;
pub use self::leaves::Leaves;
pub use self::show::{Shown, Trust};

mod certificate;
mod constraints;
mod error;
mod leaves;
mod show;
mod store;
#[cfg(test)]
mod tests;

/// From this long before its end, a CA's end is warned of.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// The folder of the CA that belongs to the configuration in `base_dir`: beside it, since its
/// constraints are that configuration's routes.
pub fn default_dir(base_dir: &Path) -> PathBuf {
    base_dir.join("maskinporten-proxy-ca")
}

/// The files of the CA in `dir`: a running program takes a new CA in when they change.
pub fn files(dir: &Path) -> [PathBuf; 3] {
    [store::ROOT, store::INTERMEDIATE, store::KEY].map(|name| dir.join(name))
}

/// Makes a CA for `names` in `dir` and loads it.
///
/// The files are written into a folder of their own beside `dir`, which then takes its place, so
/// that no reader ever sees half a CA.
///
/// # Errors
///
/// [`CaError::Exists`] where `dir` holds a CA and `force` is false; nothing is changed then.
/// [`CaError::Foreign`] where it holds anything else, `force` or not: what this program did not
/// write it does not delete. [`CaError::NoNames`], and whatever goes wrong with the files.
pub fn init(dir: &Path, names: &RoutedNames, force: bool, now: SystemTime) -> Result<Created, CaError> {
    if names.is_empty() {
        return Err(CaError::NoNames);
    }
    let place = store::Place::prepare(dir, force)?;
    let replaced = place.holds_ca();
    let authorities = Authorities::generate(names, now)?;
    place.fill(&authorities)?;
    Ok(Created { ca: Ca::load(dir)?, replaced })
}

/// What [`init`] did.
#[derive(Debug)]
pub struct Created {
    pub ca: Ca,
    /// Whether another CA stood there before; clients trust that one until they are told.
    pub replaced: bool,
}

/// A loaded CA that can sign leaves.
pub struct Ca {
    dir: PathBuf,
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, P256Key>,
    names: RoutedNames,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl Ca {
    /// Reads the CA in `dir` and checks that its three files belong together and that both
    /// certificates are constrained.
    ///
    /// Dates are not judged here, so that an expired CA can still be shown; [`Leaves`] does.
    ///
    /// # Errors
    ///
    /// [`CaError::Missing`] where there is none; else which file is wrong, and how.
    pub fn load(dir: &Path) -> Result<Self, CaError> {
        let stored = store::read(dir)?;
        let root = constraints::examine(&stored.root, &stored.dir.join(store::ROOT))?;
        let intermediate_path = stored.dir.join(store::INTERMEDIATE);
        let intermediate = constraints::examine(&stored.intermediate, &intermediate_path)?;
        if !intermediate.is_signed_by(&root) {
            return Err(CaError::NotOfRoot { path: intermediate_path });
        }
        let key_path = stored.dir.join(store::KEY);
        let key = P256Key::from_pkcs8(stored.key.expose())
            .ok_or_else(|| CaError::Damaged { path: key_path.clone(), what: "holds no P-256 key" })?;
        if intermediate.public_key() != key.public_key() {
            return Err(CaError::KeyMismatch { path: key_path });
        }
        let issuer = Issuer::from_ca_cert_der(&stored.intermediate, key).map_err(CaError::Issue)?;
        Ok(Self {
            names: intermediate.names.intersection(&root.names),
            not_before: root.not_before.max(intermediate.not_before),
            not_after: root.not_after.min(intermediate.not_after),
            dir: stored.dir,
            root: stored.root,
            intermediate: stored.intermediate,
            issuer,
        })
    }

    /// Whether the constraints let this CA vouch for `host`.
    pub fn covers(&self, host: &Host) -> bool {
        self.names.contains(host)
    }

    /// The hosts that this CA can vouch for.
    pub fn names(&self) -> &RoutedNames {
        &self.names
    }

    /// Those of `routed` that this CA cannot vouch for: they need a new one.
    pub fn missing(&self, routed: &RoutedNames) -> Vec<Host> {
        routed.difference(&self.names)
    }

    /// The absolute path of the root certificate, in PEM: the file that clients are to trust.
    pub fn root_pem_path(&self) -> PathBuf {
        self.dir.join(store::ROOT)
    }

    /// # Errors
    ///
    /// [`CaError::NotYetValid`] or [`CaError::Expired`].
    pub fn check_dates(&self, now: SystemTime) -> Result<(), CaError> {
        let now = OffsetDateTime::from(now);
        if now < self.not_before {
            return Err(CaError::NotYetValid { not_before: self.not_before, now });
        }
        if now >= self.not_after {
            return Err(CaError::Expired { not_after: self.not_after, now });
        }
        Ok(())
    }

    /// What a start-up with these routes should say about the CA, each with what to do.
    pub fn warnings(&self, routed: &RoutedNames, now: SystemTime) -> Vec<String> {
        let mut warnings = store::loose_permissions(&self.dir);
        let missing = self.missing(routed);
        if !missing.is_empty() {
            warnings.push(format!(
                "the local CA cannot vouch for {}: requests to it through CONNECT are refused until \
                 `maskinporten-proxy ca init --force` makes a new CA and clients trust that",
                list(&missing)
            ));
        }
        let surplus = self.names.difference(routed);
        if !surplus.is_empty() {
            warnings.push(format!(
                "the local CA can still vouch for {}, which no route names any more; \
                 `maskinporten-proxy ca init --force` makes a narrower one",
                list(&surplus)
            ));
        }
        match self.check_dates(now) {
            Err(error) => {
                warnings.push(format!("{error}; `maskinporten-proxy ca init --force` makes a new one"))
            }
            Ok(()) if OffsetDateTime::from(now + EXPIRY_WARNING) >= self.not_after => warnings.push(format!(
                "the local CA ends on {}; `maskinporten-proxy ca init --force` makes a new one",
                self.not_after.date()
            )),
            Ok(()) => {}
        }
        warnings
    }

    /// For people: the fingerprint, the names, the dates, and how clients come to trust the root.
    pub fn show(&self) -> Shown {
        Shown::new(self)
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("dir", &self.dir).field("names", &self.names).finish_non_exhaustive()
    }
}

/// The hosts of all routes' upstreams: what a CA is asked to vouch for.
///
/// A name's trailing dot is dropped: certificates and TLS server names know none (RFC 6066 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutedNames(BTreeSet<Host>);

impl RoutedNames {
    pub fn of(config: &Config) -> Self {
        config.routes.iter().map(|route| route.upstream.authority.host().clone()).collect()
    }

    pub fn contains(&self, host: &Host) -> bool {
        self.0.contains(&undotted(host))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order: names, then IPv4, then IPv6 addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.0.iter()
    }

    fn difference(&self, other: &Self) -> Vec<Host> {
        self.0.difference(&other.0).cloned().collect()
    }

    fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
}

impl FromIterator<Host> for RoutedNames {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        Self(hosts.into_iter().map(|host| undotted(&host)).collect())
    }
}

/// `host` as certificates write it.
fn undotted(host: &Host) -> Host {
    match host {
        Host::Name(name) => Host::Name(name.strip_suffix('.').unwrap_or(name).into()),
        address => address.clone(),
    }
}

fn list<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> String {
    hosts.into_iter().map(Host::to_string).collect::<Vec<_>>().join(", ")
}
