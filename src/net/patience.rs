//! [`Patience`]: how long a peer may take.

use std::time::Duration;

/// How long is waited for what a client or an upstream is to send or take.
///
/// The program uses the default; a test that is to see the end of it uses less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// A connection between two requests.
    pub idle: Duration,
    /// A body of which nothing moves, in either direction.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), idle: Duration::from_secs(75), body: Duration::from_secs(60) }
    }
}
