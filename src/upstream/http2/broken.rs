//! Why a stream is over ahead of its end.

use std::io;
use std::sync::Arc;

use super::frame::Code;

/// Why a stream is over ahead of its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Broken {
    #[error("it reset the stream ({0})")]
    Reset(Code),
    /// It says that it has not looked at the request (RFC 9113 §6.8).
    #[error("it goes away ({0}) without having looked at the request")]
    NotLookedAt(Code),
    /// What it sent is not HTTP/2.
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the connection broke: {0}")]
    Connection(Arc<io::Error>),
    /// The connection broke, or was closed, ahead of the first byte of the request.
    #[error("the connection was gone before the request went out")]
    Unsent,
}
