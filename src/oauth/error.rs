//! What can go wrong between a grant and a token, as values.
//!
//! The texts hold addresses, status codes and what the other side said, never a grant, a token
//! or a `pid`: what comes from outside is scrubbed first.

use std::fmt;
use std::time::Duration;

use crate::oauth::assertion::SignError;
use crate::oauth::mp::{self, Language};

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Maskinporten read the grant and said no (RFC 6749 §5.2).
    #[error("Maskinporten refused the grant: {0}")]
    Refused(Box<MaskinportenError>),

    /// Altinn read the Maskinporten token and said no.
    #[error("Altinn refused to exchange the Maskinporten token ({status}){}", said(.detail))]
    ExchangeRefused { status: u16, detail: String },

    /// 408, 429 or 5xx.
    #[error("{service} answered {status}")]
    Unavailable { service: Service, status: u16, retry_after: Option<Duration> },

    /// No connection, no TLS, no DNS, or no whole answer.
    ///
    /// `broke`: there was a connection, and it ended before the answer did, as a kept one does
    /// that the other side has closed.
    #[error("{service} could not be reached: {reason}")]
    Unreachable { service: Service, reason: String, broke: bool },

    #[error("{service} did not answer in time")]
    TimedOut { service: Service },

    /// A redirect is never followed: a grant or a token goes to the configured address alone.
    #[error("{service} answered with a redirect ({status}), which is never followed; check its address")]
    Redirected { service: Service, status: u16 },

    /// An answer that is no token and no error that could be understood.
    #[error("{service} gave an answer that cannot be used ({status}): {fault}")]
    Malformed { service: Service, status: u16, fault: AnswerFault },

    /// Without a `token_endpoint` in the configuration, the issuer must be a URL.
    #[error("the issuer is no https URL, so its metadata cannot be looked up")]
    IssuerUrl,

    /// The grant never left the house.
    #[error("the grant was not signed: {0}")]
    Signing(#[from] SignError),

    /// The task that fetched it ended without a result, as when the program stops.
    #[error("the token request was cut off before it was answered")]
    Interrupted,
}

/// The other side of a request that this module makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    TokenEndpoint,
    /// The issuer's metadata (RFC 8414).
    Metadata,
    Altinn,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("it is not a JSON object")]
    NotJson,
    #[error("it holds no token")]
    NoToken,
    #[error("the token holds characters that no bearer token has (RFC 6750 §2.1)")]
    TokenCharacters,
    #[error("`token_type` is not Bearer")]
    TokenType,
    #[error("`expires_in` is not a number of seconds")]
    ExpiresIn,
    #[error("the token is past its life already")]
    Dead,
    #[error("the status is unexpected")]
    Status,
    #[error("the issuer in the metadata is not the configured one, but \"{found}\"")]
    Issuer { found: String },
    #[error("the metadata names no `token_endpoint` on the issuer's own host over https")]
    Endpoint,
}

/// A refusal in Maskinporten's words (RFC 6749 §5.2), with what the MP table knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskinportenError {
    /// The HTTP status.
    pub status: u16,
    /// Such as `invalid_grant`.
    pub error: String,
    pub error_description: Option<String>,
    pub error_uri: Option<String>,
    /// The row of the MP table that the description names or resembles.
    pub entry: Option<&'static mp::Entry>,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only a person can mend it: told at once, tried again on reload or once a minute.
    Permanent,
    /// It passes by itself: tried again with growing pauses.
    Transient,
    /// One freshly signed grant at once is worth it; after that it is transient.
    AtOnce,
}

impl TokenError {
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::ExchangeRefused { .. } | Self::Redirected { .. } | Self::IssuerUrl => Class::Permanent,
            Self::Signing(SignError::Anonymous | SignError::Key(_)) => Class::Permanent,
            Self::Malformed { fault: AnswerFault::Issuer { .. } | AnswerFault::Endpoint, .. } => {
                Class::Permanent
            }
            Self::Unreachable { broke: true, .. } => Class::AtOnce,
            Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. }
            | Self::Signing(SignError::Interrupted)
            | Self::Interrupted => Class::Transient,
        }
    }

    /// The pause that the other side asked for, five minutes at most.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Maskinporten's own words, where it was Maskinporten that refused.
    pub fn maskinporten(&self) -> Option<&MaskinportenError> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// `MP-…`, where Maskinporten gave a code.
    pub fn code(&self) -> Option<&str> {
        self.maskinporten().and_then(MaskinportenError::code)
    }

    /// Whether other identities of the same client, or everyone at that service, would fare the
    /// same, so that their attempts can wait too.
    pub(in crate::oauth) fn concerns_all(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.entry.is_some_and(|entry| entry.whole_client),
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Malformed { .. } | Self::Redirected { .. } | Self::IssuerUrl | Self::Signing(_) => true,
            Self::ExchangeRefused { .. } | Self::Interrupted => false,
        }
    }

    /// What is the matter, for a person.
    pub fn cause(&self, language: Language) -> String {
        match self.maskinporten().and_then(|refusal| refusal.entry) {
            Some(entry) => entry.cause(language).to_owned(),
            None => self.to_string(),
        }
    }

    /// What to do about it.
    pub fn fix(&self, language: Language) -> &'static str {
        match self.maskinporten().and_then(|refusal| refusal.entry) {
            Some(entry) => entry.fix(language),
            None => mp::general_fix(self, language),
        }
    }
}

impl MaskinportenError {
    /// `MP-…`, where the description or, as is usual, the address of the explanation has one.
    pub fn code(&self) -> Option<&str> {
        let texts = [&self.error_description, &self.error_uri];
        let written = || texts.into_iter().flatten().find_map(|text| mp::code_in(text));
        self.entry.and_then(|entry| entry.code).or_else(written)
    }

    /// By the table; what it does not know is taken for a refusal that a person must look at,
    /// unless the error itself says that it will pass.
    pub fn class(&self) -> Class {
        match self.entry {
            Some(entry) => entry.class,
            None if matches!(&*self.error, "temporarily_unavailable" | "server_error") => Class::Transient,
            None => Class::Permanent,
        }
    }

    /// The `maskinporten` member of a problem document: `error`, `error_description`,
    /// `error_uri`, `code`, `cause`, `fix`; what is not known is left out.
    pub fn to_problem(&self, language: Language) -> serde_json::Map<String, serde_json::Value> {
        let members = [
            ("error", Some(self.error.as_str())),
            ("error_description", self.error_description.as_deref()),
            ("error_uri", self.error_uri.as_deref()),
            ("code", self.code()),
            ("cause", self.entry.map(|entry| entry.cause(language))),
            ("fix", self.entry.map(|entry| entry.fix(language))),
        ];
        members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect()
    }
}

impl fmt::Display for MaskinportenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        match &self.error_description {
            Some(description) => write!(f, ": {description}")?,
            None => write!(f, " ({})", self.status)?,
        }
        match self.code() {
            Some(code) if self.error_description.as_deref().and_then(mp::code_in) != Some(code) => {
                write!(f, " [{code}]")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenEndpoint => "the token endpoint",
            Self::Metadata => "the issuer's metadata",
            Self::Altinn => "Altinn's token exchange",
        })
    }
}

/// Makes what another party wrote fit to be shown: control characters become spaces, whatever
/// looks like a JWT or equals one of `secrets` becomes `***`, and it is cut at 500 characters.
/// (An endpoint that echoes the grant in its error must not bring it into our logs.)
pub(in crate::oauth) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        clean = clean.replace(secret, "***");
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=');
    let mut shown = String::new();
    let mut rest = clean.trim();
    while let Some(start) = rest.find("eyJ") {
        let (before, token) = rest.split_at(start);
        let end = token.find(|c| !is_token(c)).unwrap_or(token.len());
        shown.push_str(before);
        // Anything shorter than this is no JWT; a word of an error message, rather.
        shown.push_str(if end >= 20 { "***" } else { &token[..end] });
        rest = &token[end..];
    }
    shown.push_str(rest);
    match shown.char_indices().nth(500) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

fn said(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

#[cfg(test)]
mod tests;
