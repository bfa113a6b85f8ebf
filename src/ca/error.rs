//! What can go wrong with the local CA, as values.

use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

use crate::authority::Host;

/// Why the local CA cannot be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("no route names an upstream, so there is nothing that a CA could vouch for")]
    NoNames,
    #[error("there is a CA in {dir} already; nothing was changed")]
    Exists { dir: PathBuf },
    #[error("there is no CA in {dir}")]
    Missing { dir: PathBuf },
    /// The folder holds something that this program did not write.
    #[error("{dir} holds {entry:?}, which is no part of a CA")]
    Foreign { dir: PathBuf, entry: String },
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} {what}")]
    Damaged { path: PathBuf, what: &'static str },
    /// A CA certificate without critical name constraints could vouch for any host.
    #[error("{path} has no critical name constraints that permit single hosts alone")]
    Unconstrained { path: PathBuf },
    #[error("{path} was not signed by the root certificate beside it")]
    NotOfRoot { path: PathBuf },
    #[error("{path} is not the key of the intermediate certificate beside it")]
    KeyMismatch { path: PathBuf },
    #[error("the local CA is valid only from {not_before}; the clock says {now}")]
    NotYetValid { not_before: OffsetDateTime, now: OffsetDateTime },
    #[error("the local CA ended on {not_after}; the clock says {now}")]
    Expired { not_after: OffsetDateTime, now: OffsetDateTime },
    #[error("the local CA cannot vouch for {host}")]
    NotCovered { host: Host },
    #[error("cannot make a certificate")]
    Issue(#[source] rcgen::Error),
    /// The operating system's randomness failed; the library gives no more than that.
    #[error("cannot make a key")]
    Key,
    #[error("cannot use a fresh certificate for TLS")]
    Tls(#[source] rustls::Error),
}

impl CaError {
    /// The next step for a person; `None` where the error's causes say it all.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoNames => Some("add a [[routes]] table to the configuration"),
            Self::Exists { .. } => Some(
                "`maskinporten-proxy ca show` tells about it; `ca init --force` replaces it by a new one",
            ),
            Self::Missing { .. } => Some("make one with `maskinporten-proxy ca init`"),
            Self::Foreign { .. } => Some("move it away, or let the CA have a folder of its own"),
            Self::NotYetValid { .. } => {
                Some("set the machine's clock, or run `maskinporten-proxy ca init --force`")
            }
            Self::Damaged { .. }
            | Self::Unconstrained { .. }
            | Self::NotOfRoot { .. }
            | Self::KeyMismatch { .. }
            | Self::Expired { .. }
            | Self::NotCovered { .. } => Some(
                "make a new CA with `maskinporten-proxy ca init --force`, and let clients trust it in place of the old",
            ),
            Self::Io { .. } | Self::Issue(_) | Self::Key | Self::Tls(_) => None,
        }
    }
}
