//! What goes wrong between the proxy and an upstream, in terms that a user can act on.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use rustls::CertificateError;

use crate::net::{BadChunk, BodyError};

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("the name `{host}` cannot be resolved")]
    Dns { host: String, source: io::Error },
    #[error("the name `{host}` has no address")]
    NoAddress { host: String },
    #[error("`{host}` resolves to {address}, which is not to be reached through this proxy")]
    Forbidden { host: String, address: IpAddr },
    #[error("no connection to {to}")]
    Connect { to: String, source: io::Error },
    #[error("no connection to {to} within {} s", after.as_secs_f32())]
    ConnectTimeout { to: String, after: Duration },
    #[error("TLS with {to} failed: {problem}")]
    Tls { to: String, problem: TlsProblem, source: io::Error },
    #[error("the outbound proxy {proxy} {problem}")]
    Proxy { proxy: String, problem: ProxyProblem },
    #[error("{to} closed the connection before it had answered")]
    Closed { to: String, source: BoxError },
    #[error("the answer of {to} is not valid HTTP: {reason}")]
    Malformed { to: String, reason: String },
    #[error("{to} switched protocols without being asked")]
    UnexpectedUpgrade { to: String },
    #[error("{to} has not answered within {} s", after.as_secs_f32())]
    ResponseTimeout { to: String, after: Duration },
    #[error("the request cannot be sent on: {0}")]
    Request(&'static str),
    #[error("the client's request broke off: {0}")]
    Client(#[from] ClientFault),
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// What the client did in the middle of its request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    #[error("it hung up in the middle of the body")]
    Gone,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("nothing of the body has come for 60 s")]
    Stalled,
}

/// Why an outbound proxy was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProblem {
    #[error("wants other credentials (407)")]
    Credentials,
    #[error("refused to open a tunnel (status {0})")]
    Refused(u16),
    #[error("did not answer as an HTTP proxy does")]
    Malformed,
    #[error("broke the connection: {0}")]
    Broken(String),
}

/// What is wrong with an upstream's TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    #[error("its certificate has expired{0}")]
    Expired(String),
    #[error("its certificate is not valid yet{0}")]
    NotYetValid(String),
    #[error("its certificate is for another name{0}")]
    WrongName(String),
    #[error("its certificate was issued by an authority that is not trusted here")]
    UnknownIssuer,
    #[error("its certificate has been revoked")]
    Revoked,
    #[error("its certificate cannot be accepted ({0})")]
    Certificate(String),
    #[error("it speaks no version of TLS that is safe (1.2 or 1.3)")]
    Version,
    #[error("it asks for a client certificate, or refused the handshake otherwise ({0})")]
    Refused(String),
    #[error("it does not speak TLS on this port")]
    NotTls,
    #[error("{0}")]
    Other(String),
}

impl UpstreamError {
    /// The status that tells the client (RFC 9110 §15.6).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ConnectTimeout { .. } | Self::ResponseTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Request(_) | Self::Client(ClientFault::Gone | ClientFault::Malformed(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Client(ClientFault::Stalled) => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The proxy error type for `Proxy-Status` (RFC 9209 §2.3).
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Dns { .. } | Self::NoAddress { .. } => "dns_error",
            Self::Forbidden { .. } => "destination_ip_prohibited",
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                _ => "destination_ip_unroutable",
            },
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Tls { problem, .. } => match problem {
                TlsProblem::Version | TlsProblem::NotTls | TlsProblem::Other(_) => "tls_protocol_error",
                TlsProblem::Refused(_) => "tls_alert_received",
                _ => "tls_certificate_error",
            },
            Self::Proxy { .. } => "destination_unavailable",
            Self::Closed { .. } => "connection_terminated",
            Self::Malformed { .. } => "http_protocol_error",
            Self::UnexpectedUpgrade { .. } => "http_upgrade_failed",
            Self::ResponseTimeout { .. } => "http_response_timeout",
            Self::Request(_) | Self::Client(_) => "http_request_error",
        }
    }

    /// Whether no connection came about.
    pub fn is_connecting(&self) -> bool {
        matches!(
            self,
            Self::Dns { .. }
                | Self::NoAddress { .. }
                | Self::Forbidden { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout { .. }
                | Self::Tls { .. }
                | Self::Proxy { .. }
        )
    }

    /// Whether it was the client's doing, not the upstream's.
    pub fn is_clients(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Request(_))
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Dns { .. } | Self::NoAddress { .. } => {
                Some("check the spelling of `upstream`, and the network")
            }
            Self::Tls { problem, .. } => problem.hint(),
            Self::Proxy { problem: ProxyProblem::Credentials, .. } => Some(
                "put the user and password into `[upstream] proxy` (or HTTPS_PROXY): http://user:password@host:port",
            ),
            Self::Proxy { .. } => {
                Some("check `[upstream] proxy` or HTTPS_PROXY; hosts that need none go into NO_PROXY")
            }
            Self::ConnectTimeout { .. } => Some(
                "a firewall may be in the way; where the network has an outbound proxy, set `[upstream] proxy`",
            ),
            Self::ResponseTimeout { .. } => Some("for slow answers, raise `[upstream] response_timeout`"),
            _ => None,
        }
    }
}

impl ClientFault {
    /// Why a body could not be read on.
    pub(super) fn of(error: &BodyError) -> Self {
        match error {
            BodyError::BadChunk(BadChunk(reason)) => Self::Malformed(reason),
            BodyError::Gone | BodyError::Http2(_) => Self::Gone,
        }
    }
}

impl TlsProblem {
    /// Whether it lies in the certificate that was shown.
    pub(super) fn is_of_certificate(&self) -> bool {
        matches!(
            self,
            Self::Expired(_)
                | Self::NotYetValid(_)
                | Self::WrongName(_)
                | Self::UnknownIssuer
                | Self::Revoked
                | Self::Certificate(_)
        )
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownIssuer => Some(
                "where the upstream or the network has a certificate authority of its own, set `[upstream] ca_file` to it",
            ),
            Self::WrongName(_) => Some("set `upstream` to a name that the certificate holds"),
            Self::Expired(_) | Self::NotYetValid(_) => {
                Some("the upstream's owner must renew it, unless this machine's clock is wrong")
            }
            Self::NotTls => Some("check the port of `upstream`"),
            _ => None,
        }
    }

    /// Reads what the making of a TLS connection reports.
    pub(super) fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    Self::Refused("it closed the connection in the handshake".into())
                }
                _ => Self::Other(error.to_string()),
            };
        };
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(_) => Self::Version,
            rustls::Error::AlertReceived(alert) => Self::Refused(format!("alert {alert:?}")),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        let ago = |seconds: u64| format!(", by {}", days_or_hours(seconds));
        match error {
            CertificateError::Expired => Self::Expired(String::new()),
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired(ago(time.as_secs().saturating_sub(not_after.as_secs())))
            }
            CertificateError::NotValidYet => Self::NotYetValid(String::new()),
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid(ago(not_before.as_secs().saturating_sub(time.as_secs())))
            }
            CertificateError::NotValidForName => Self::WrongName(String::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().take(5).map(|name| plain_name(name)).collect();
                Self::WrongName(if names.is_empty() {
                    " (it holds none)".into()
                } else {
                    format!(" ({})", names.join(", "))
                })
            }
            // Signed by another authority of the same name, with a key of the same kind or not.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::UnknownIssuer
            }
            CertificateError::Revoked => Self::Revoked,
            other => Self::Certificate(format!("{other:?}")),
        }
    }
}

/// rustls writes the names of a certificate as `DnsName("localhost")`.
fn plain_name(presented: &str) -> &str {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"')
}

fn days_or_hours(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => format!("{} h", seconds / 3_600),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}
