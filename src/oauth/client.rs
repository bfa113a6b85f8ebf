//! A Maskinporten client at work: signs grants, brings them to the token endpoint, and knows when
//! not to.
//!
//! All identities of a client share one [`GrantClient`], and with it the pauses that the endpoint
//! asked for, the difference between the clocks, and a bound on how many requests are under way.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::{self, HttpUrl};
use crate::oauth::assertion::{Assertion, KeyIdentity, SignError, Signer};
use crate::oauth::error::{Class, TokenError};
use crate::oauth::gate::{FetchError, Gate, Pass};
use crate::oauth::identity::Identity;
use crate::oauth::observer::{Observer, Outcome};
use crate::oauth::skew::Skew;
use crate::oauth::token_endpoint::{self, AccessToken};
use crate::oauth::transport::TokenHttp;
use crate::oauth::{exchange, metadata};

/// Token requests of one client under way at once: a thousand cold identities do not open a
/// thousand connections. Waiters are served in the order in which they came.
const AT_ONCE: usize = 64;

/// What all clients share.
#[derive(Debug)]
pub(in crate::oauth) struct Tools {
    pub(in crate::oauth) http: ArcSwap<TokenHttp>,
    pub(in crate::oauth) clock: Clock,
    pub(in crate::oauth) observer: Arc<dyn Observer>,
    /// Signatures at once: as many as there are cores, since each keeps one busy.
    pub(in crate::oauth) signing: Semaphore,
}

/// One client with its key, ready to ask for tokens.
pub struct GrantClient {
    name: String,
    client_id: String,
    issuer: String,
    configured: Option<HttpUrl>,
    discovered: Mutex<Option<HttpUrl>>,
    key: KeyIdentity,
    signer: Arc<dyn Signer>,
    tools: Arc<Tools>,
    fetches: Semaphore,
    gate: Gate,
    exchange_gate: Gate,
    skew: Skew,
}

impl GrantClient {
    pub(in crate::oauth) fn new(client: &config::Client, signer: Arc<dyn Signer>, tools: Arc<Tools>) -> Self {
        let clock = || tools.clock.clone();
        Self {
            name: client.name.clone(),
            client_id: client.client_id.clone(),
            issuer: client.issuer.clone(),
            configured: endpoint_of(client),
            discovered: Mutex::default(),
            key: signer.identity(),
            signer,
            fetches: Semaphore::new(AT_ONCE),
            gate: Gate::new(clock()),
            exchange_gate: Gate::new(clock()),
            skew: Skew::default(),
            tools,
        }
    }

    /// Whether this is `client` with this key: nothing has to be made anew for it.
    pub(in crate::oauth) fn is(&self, client: &config::Client, signer: &dyn Signer) -> bool {
        self.name == client.name
            && self.client_id == client.client_id
            && self.issuer == client.issuer
            && self.configured == endpoint_of(client)
            && self.key == signer.identity()
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn key(&self) -> &KeyIdentity {
        &self.key
    }

    /// The token endpoint, where the configuration or the environment names it.
    pub fn configured_endpoint(&self) -> Option<&HttpUrl> {
        self.configured.as_ref()
    }

    /// How far the token endpoint's clock is ahead of ours, in seconds (negative: behind), as of
    /// its last answer.
    pub fn skew_seconds(&self) -> Option<i64> {
        self.skew.seconds()
    }

    /// The token endpoint: the configured one, else that of the issuer's metadata, which is kept
    /// until a request to it fails.
    ///
    /// # Errors
    ///
    /// When the metadata is needed and not to be had or not to be believed.
    pub async fn endpoint(&self) -> Result<HttpUrl, TokenError> {
        if let Some(known) = self.configured.clone().or_else(|| self.discovered().clone()) {
            return Ok(known);
        }
        let found = metadata::token_endpoint(&self.tools.http.load_full(), &self.issuer).await?;
        *self.discovered() = Some(found.clone());
        Ok(found)
    }

    /// Compares the clocks without asking for a token: every answer of the endpoint has a `Date`,
    /// one that refuses the method too. As [`Self::skew_seconds`]; `None` where it has none.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn compare_clocks(&self) -> Result<Option<i64>, TokenError> {
        let endpoint = self.endpoint().await?;
        let (http, clock) = (self.tools.http.load_full(), &self.tools.clock);
        let sighting = token_endpoint::sight(&http, &endpoint, clock).await?;
        if let Some(sighting) = sighting {
            self.skew.observe(sighting);
        }
        Ok(sighting.and_then(|_| self.skew.seconds()))
    }

    /// A fresh grant for `identity`. Signing blocks, so it is done on the runtime's blocking
    /// threads: neither requests nor timers wait for the millisecond it takes.
    ///
    /// # Errors
    ///
    /// When the key does not sign.
    pub async fn grant(&self, identity: &Identity) -> Result<Assertion, SignError> {
        let _turn = self.tools.signing.acquire().await.map_err(|_| SignError::Interrupted)?;
        let (identity, signer) = (identity.clone(), Arc::clone(&self.signer));
        let now = self.skew.correct(self.tools.clock.wall());
        tokio::task::spawn_blocking(move || Assertion::sign(&identity, &*signer, now))
            .await
            .map_err(|_| SignError::Interrupted)?
    }

    /// A Maskinporten token for `identity`, unless a pause is in force. A refusal that a freshly
    /// signed grant may mend gets one at once.
    ///
    /// # Errors
    ///
    /// When it cannot be had, with the time of the next attempt where that is not the caller's to
    /// choose; a pause that nobody asked for is `longest_pause` at most.
    pub async fn token(
        &self,
        identity: &Identity,
        longest_pause: Duration,
    ) -> Result<AccessToken, FetchError> {
        let _turn = self.fetches.acquire().await.map_err(|_| interrupted())?;
        let pass = self.gate.enter(longest_pause).await?;
        let mut result = self.attempt(identity).await;
        if let Err(error) = &result
            && self.is_worth_another(error)
        {
            tracing::debug!(client = self.name, %error, "trying once more with a fresh grant");
            result = self.attempt(identity).await;
        }
        settle(pass, result)
    }

    /// Swaps `token` at Altinn, unless a pause is in force there.
    ///
    /// # Errors
    ///
    /// As [`Self::token`].
    pub async fn exchange(
        &self,
        identity: &Identity,
        platform: &HttpUrl,
        token: &AccessToken,
        longest_pause: Duration,
    ) -> Result<AccessToken, FetchError> {
        let _turn = self.fetches.acquire().await.map_err(|_| interrupted())?;
        let pass = self.exchange_gate.enter(longest_pause).await?;
        let http = self.tools.http.load_full();
        let clock = &self.tools.clock;
        let began = clock.monotonic();
        let mut result = exchange::altinn(&http, platform, token, identity.pid(), clock).await;
        if result.as_ref().is_err_and(|error| error.class() == Class::AtOnce) {
            result = exchange::altinn(&http, platform, token, identity.pid(), clock).await;
        }
        self.report(&result, began);
        settle(pass, result)
    }

    /// Ends the pauses after refusals: the configuration was read again.
    pub(in crate::oauth) fn retry_now(&self) {
        self.gate.forgive();
        self.exchange_gate.forgive();
    }

    async fn attempt(&self, identity: &Identity) -> Result<AccessToken, TokenError> {
        let began = self.tools.clock.monotonic();
        let result = self.ask(identity).await;
        self.report(&result, began);
        result
    }

    async fn ask(&self, identity: &Identity) -> Result<AccessToken, TokenError> {
        let endpoint = self.endpoint().await?;
        let assertion = self.grant(identity).await?;
        let (http, clock) = (self.tools.http.load_full(), &self.tools.clock);
        let answer = token_endpoint::request(&http, &endpoint, &assertion, identity.pid(), clock).await;
        if let Some(sighting) = answer.sighting {
            self.skew.observe(sighting);
        }
        match &answer.result {
            Ok(_) => self.skew.accepted(),
            Err(TokenError::Refused(_)) => {}
            // The endpoint may have moved.
            Err(_) => *self.discovered() = None,
        }
        answer.result
    }

    fn is_worth_another(&self, error: &TokenError) -> bool {
        let over_time = match error {
            TokenError::Refused(refusal) => match refusal.entry {
                Some(entry) if entry.clock => self.skew.refused(true),
                Some(_) => false,
                // "Invalid assertion" and the like can be about time without saying so.
                None => self.skew.refused(false),
            },
            _ => false,
        };
        if over_time {
            let seconds = self.skew.seconds().unwrap_or_default();
            tracing::warn!(
                client = self.name,
                ahead_by = seconds,
                "this machine's clock and Maskinporten's differ; grants are corrected for it, but set the clock"
            );
        }
        over_time || error.class() == Class::AtOnce
    }

    fn report<T>(&self, result: &Result<T, TokenError>, began: std::time::Instant) {
        let took = self.tools.clock.monotonic().saturating_duration_since(began);
        self.tools.observer.fetched(&self.name, Outcome::of(result), took);
    }

    fn discovered(&self) -> std::sync::MutexGuard<'_, Option<HttpUrl>> {
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for GrantClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantClient").field("name", &self.name).field("client_id", &self.client_id).finish()
    }
}

/// Tells the gate how it went. An answer to this grant alone leaves it open.
fn settle(pass: Pass<'_>, result: Result<AccessToken, TokenError>) -> Result<AccessToken, FetchError> {
    match result {
        Ok(token) => {
            pass.succeeded();
            Ok(token)
        }
        Err(error) if error.concerns_all() => Err(pass.failed(&Arc::new(error))),
        Err(error) => {
            pass.succeeded();
            Err(FetchError { error: Arc::new(error), not_before: None })
        }
    }
}

fn endpoint_of(client: &config::Client) -> Option<HttpUrl> {
    let known = || client.environment.and_then(|known| metadata::parse_url(known.token_endpoint()));
    client.token_endpoint.clone().or_else(known)
}

fn interrupted() -> FetchError {
    FetchError { error: Arc::new(TokenError::Interrupted), not_before: None }
}

#[cfg(test)]
mod tests;
