//! Who is told of token requests, so that they can be counted without this module knowing how.

use std::fmt;
use std::time::Duration;

use crate::oauth::error::{Class, TokenError};

/// Told of each attempt to get a token; for metrics.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// One token request of `client` (its name in the configuration) took `took` and ended so.
    fn fetched(&self, client: &str, outcome: Outcome, took: Duration);
}

/// How an attempt to get a token ended; a label of few values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Obtained,
    /// Refused in a way that a person must mend.
    Refused,
    /// Anything that may pass by itself.
    Failed,
}

impl Outcome {
    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Obtained => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    pub(in crate::oauth) fn of<T>(result: &Result<T, TokenError>) -> Self {
        match result {
            Ok(_) => Self::Obtained,
            Err(error) if error.class() == Class::Permanent => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}
