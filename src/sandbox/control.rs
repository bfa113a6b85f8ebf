//! The handle by which a test sets the sandbox up, makes it fail, and looks at what it saw.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::sync::watch;

use super::fault::Faults;
use super::record::{ApiRequest, Counts, DeadToken, TokenRequest};
use super::registry::{Client, ClientSpec, Consent, RegisteredKey, Scope, ScopeSpec, SystemUser};
use super::seed::ORGANISATION;
use super::shared::Shared;
use super::tokens::Kind;

/// Clones share the sandbox. The handle outlives the sandbox; it then shows what was seen.
#[derive(Clone)]
pub struct Control(pub(super) Arc<Shared>);

/// There is no client of this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox has no client {0:?}")]
pub struct NoClient(pub String);

/// Setting up.
impl Control {
    /// Registers a client, or replaces one of the same id. Scopes of it that are not there yet
    /// are made, accessible for all.
    pub fn register_client(&self, spec: ClientSpec) {
        let now = self.now();
        self.0.registry(|registry| {
            for name in &spec.scopes {
                if registry.scope(name).is_none() {
                    let scope = ScopeSpec::new(name, ORGANISATION).for_all();
                    registry.put_scope(Scope::from_spec(scope, now));
                }
            }
            registry.put_client(Client::from_spec(spec, now));
        });
    }

    /// Replaces the key set of a client; with none left, it must use `x5c`.
    pub fn set_keys(&self, client_id: &str, keys: Vec<RegisteredKey>) -> Result<(), NoClient> {
        let change =
            self.0.registry(|registry| registry.change_client(client_id, |client| client.keys = keys));
        change.map(|_| ()).map_err(|_| NoClient(client_id.to_owned()))
    }

    /// Deactivates a client, as `DELETE /clients/{id}` does.
    pub fn deactivate_client(&self, client_id: &str) -> Result<(), NoClient> {
        let change =
            self.0.registry(|registry| registry.change_client(client_id, |client| client.active = false));
        change.map(|_| ()).map_err(|_| NoClient(client_id.to_owned()))
    }

    /// Registers a scope, or replaces one of the same name.
    pub fn register_scope(&self, spec: ScopeSpec) {
        let scope = Scope::from_spec(spec, self.now());
        self.0.registry(|registry| registry.put_scope(scope));
    }

    /// Assigns a scope prefix, so that the organisation can make scopes with it.
    pub fn assign_prefix(&self, prefix: &str, organisation: &str) {
        self.0.registry(|registry| registry.assign_prefix(prefix, organisation));
    }

    /// The consumer lets the supplier use a scope in its stead (organisation numbers).
    pub fn delegate(&self, consumer: &str, supplier: &str, scope: &str) {
        self.0.registry(|registry| registry.delegate(consumer, supplier, scope));
    }

    /// Takes a delegation back.
    pub fn undelegate(&self, consumer: &str, supplier: &str, scope: &str) {
        self.0.registry(|registry| registry.undelegate(consumer, supplier, scope));
    }

    /// A customer has made a system user for a client.
    pub fn register_system_user(&self, user: SystemUser) {
        self.0.registry(|registry| registry.put_system_user(user));
    }

    /// Somebody has given a consent.
    pub fn register_consent(&self, consent: Consent) {
        self.0.registry(|registry| registry.put_consent(consent));
    }

    /// Trusts one more issuer of business certificates (DER), or a self-signed certificate such as
    /// `keytool -genkeypair` makes.
    pub fn trust_ca(&self, certificate: impl Into<Vec<u8>>) {
        self.0.registry(|registry| registry.trust(certificate.into()));
    }

    /// Seconds that tokens issued from now on live (`expires_in`), where the client has no life
    /// of its own for them.
    pub fn set_token_lifetime(&self, seconds: u32) {
        self.0.settings.token_lifetime.store(seconds, Ordering::Relaxed);
    }

    /// Seconds that Altinn's tokens issued from now on live.
    pub fn set_altinn_lifetime(&self, seconds: u32) {
        self.0.settings.altinn_lifetime.store(seconds, Ordering::Relaxed);
    }

    /// Whether Altinn answers a JSON string in place of the bare token.
    pub fn set_altinn_quoted(&self, quoted: bool) {
        self.0.settings.altinn_quoted.store(quoted, Ordering::Relaxed);
    }
}

/// Faults.
impl Control {
    /// The fault switches.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Puts the sandbox's clock `seconds` ahead (or behind, where negative): a client's clock
    /// that is off looks the same from the other side. `Date` follows.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.0.settings.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// Puts the `Date` header alone `seconds` ahead of the sandbox's clock.
    pub fn set_date_offset(&self, seconds: i64) {
        self.0.settings.date_offset.store(seconds, Ordering::Relaxed);
    }

    /// Ends the life of all tokens issued so far; the APIs answer them 401.
    pub fn revoke_tokens(&self) {
        self.0.tokens.revoke(|_| true);
    }

    /// As [`Self::revoke_tokens`], for those of one issuer.
    pub fn revoke_tokens_of(&self, kind: Kind) {
        self.0.tokens.revoke(|token| token.kind == kind);
    }

    /// Ends the life of the token with this `jti`.
    pub fn revoke_token(&self, jti: &str) {
        self.0.tokens.revoke(|token| token.claims.text("jti") == Some(jti));
    }
}

/// What was seen.
impl Control {
    /// The sandbox's own idea of the time.
    pub fn now(&self) -> SystemTime {
        self.0.now()
    }

    /// What was seen so far, in numbers.
    pub fn counts(&self) -> Counts {
        self.0.records.counts()
    }

    /// Waits until the counts are as wanted, and returns them. It waits forever where they never
    /// are: put a timeout around it.
    pub async fn until(&self, wanted: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.watch();
        let seen = counts.wait_for(wanted).await.map(|counts| *counts);
        // The sender lives as long as this handle.
        seen.unwrap_or_else(|_| self.counts())
    }

    /// Tells when the counts move.
    pub fn watch(&self) -> watch::Receiver<Counts> {
        self.0.records.watch()
    }

    /// The latest requests to the token endpoint ([`super::record::KEPT`] at most).
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.0.records.token_requests()
    }

    /// The latest requests to the self-service API and the echo API.
    pub fn api_requests(&self) -> Vec<ApiRequest> {
        self.0.records.api_requests()
    }

    /// The latest requests to Altinn's exchange.
    pub fn altinn_requests(&self) -> Vec<ApiRequest> {
        self.0.records.altinn_requests()
    }

    /// The latest uses of tokens past their end.
    pub fn dead_tokens(&self) -> Vec<DeadToken> {
        self.0.records.dead_tokens()
    }

    /// Forgets what was seen, and counts from zero.
    pub fn clear_records(&self) {
        self.0.records.clear();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}
