//! Tokens from Maskinporten: RFC 7523 (JWT bearer grants) from the signed grant to the header.
//!
//! A token's life reads top to bottom: a [`Signer`] signs an [`Assertion`] for an [`Identity`],
//! a [`GrantClient`] brings it to the [`token_endpoint`] (and, where asked, the token on to
//! Altinn's [`exchange`]), and a [`TokenSource`] keeps the result fresh and hands it out as an
//! [`Authorization`]. [`TokenSources`] holds one source for each distinct identity.
//!
//! What this module never does: follow a redirect, send a grant twice, hand out a token past its
//! life, or put a token, a grant or a `pid` in a log, an error or a `Debug` text. The tokens are
//! opaque to it (RFC 6749 §1.4); they are decoded for display and, failing `expires_in`, for `exp`.

pub mod assertion;
pub mod client;
pub mod error;
pub mod exchange;
pub mod fetch;
pub mod gate;
pub mod identity;
pub mod jwt;
pub mod life;
pub mod metadata;
pub mod mp;
pub mod observer;
pub mod skew;
pub mod token_endpoint;
pub mod token_source;
pub mod token_sources;
pub mod transport;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use assertion::{Assertion, KeyIdentity, SignError, Signer};
pub use client::GrantClient;
pub use error::{Class, MaskinportenError, TokenError};
pub use fetch::{Errand, Fetch};
pub use gate::FetchError;
pub use identity::{Identity, Profile};
pub use mp::Language;
pub use observer::{Observer, Outcome};
pub use token_endpoint::AccessToken;
pub use token_source::{Authorization, Failure, TokenSource, TokenState, TokenStatus};
pub use token_sources::{Setup, TokenSources};
pub use transport::TokenHttp;
