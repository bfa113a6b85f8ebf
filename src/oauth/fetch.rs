//! One identity's way to a token: the grant, and where asked the exchange after it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::HttpUrl;
use crate::oauth::error::TokenError;
use crate::oauth::gate::FetchError;
use crate::oauth::identity::Identity;
use crate::oauth::token_endpoint::AccessToken;

/// The result of a fetch, in time.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, FetchError>> + Send + 'a>>;

/// How a token is to be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// The API refused the last token: nothing which led to it may be used again.
    pub anew: bool,
    /// The longest pause after a failure, unless the other side asks for one.
    pub longest_pause: Duration,
}

/// Gets a token, however that is done. Called by one caller at a time.
pub trait Fetch: Send + Sync + 'static {
    /// One attempt.
    fn fetch(&self, errand: Errand) -> Fetching<'_>;
}

/// Fetches at Maskinporten, and at Altinn where the identity's profile asks for the exchange.
#[derive(Debug)]
pub(in crate::oauth) struct IdentityFetch {
    identity: Identity,
    clock: Clock,
    /// The Maskinporten token behind the exchanged one. It outlives several of those.
    maskinporten: Mutex<Option<AccessToken>>,
}

impl IdentityFetch {
    pub(in crate::oauth) fn new(identity: Identity, clock: Clock) -> Self {
        Self { identity, clock, maskinporten: Mutex::default() }
    }

    async fn exchanged(&self, platform: &HttpUrl, errand: Errand) -> Result<AccessToken, FetchError> {
        let client = self.identity.profile().client();
        let kept = self.held().take().filter(|token| !errand.anew && self.has_time_left(token));
        let reused = kept.is_some();
        let mut token = match kept {
            Some(token) => token,
            None => client.token(&self.identity, errand.longest_pause).await?,
        };
        let mut result = client.exchange(&self.identity, platform, &token, errand.longest_pause).await;
        if reused && result.as_ref().is_err_and(is_refusal) {
            token = client.token(&self.identity, errand.longest_pause).await?;
            result = client.exchange(&self.identity, platform, &token, errand.longest_pause).await;
        }
        if !result.as_ref().is_err_and(is_refusal) {
            *self.held() = Some(token);
        }
        result
    }

    /// A Maskinporten token near its end would not last through the exchange, or bring a token
    /// that the platform cuts short: it is fetched anew first.
    fn has_time_left(&self, token: &AccessToken) -> bool {
        let life = token.life();
        life.until(life.length(), &self.clock) > life.length() / 3
    }

    fn held(&self) -> MutexGuard<'_, Option<AccessToken>> {
        self.maskinporten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch for IdentityFetch {
    fn fetch(&self, errand: Errand) -> Fetching<'_> {
        Box::pin(async move {
            let profile = self.identity.profile();
            match profile.exchange() {
                None => profile.client().token(&self.identity, errand.longest_pause).await,
                Some(platform) => self.exchanged(platform, errand).await,
            }
        })
    }
}

fn is_refusal(error: &FetchError) -> bool {
    matches!(*error.error, TokenError::ExchangeRefused { .. })
}
