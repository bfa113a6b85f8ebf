//! What can be told of a token without telling it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::TokenSource;
use crate::oauth::error::{Class, TokenError};
use crate::oauth::jwt;

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// Nobody has asked for it yet.
    Idle,
    /// None is held, and one is being fetched.
    Fetching,
    /// Held and alive.
    Live,
    /// Held and alive, but the last attempt to refresh it failed.
    RefreshFailing,
    /// None is held, since the last attempt failed in a way that may pass.
    Waiting,
    /// None is held, since Maskinporten said no in a way that a person must mend.
    Refused,
    /// It ran out unused or was refused by the API; the next request fetches another.
    Expired,
}

/// A token as it may be shown.
#[derive(Clone, Debug)]
pub struct TokenStatus {
    pub state: TokenState,
    /// Since when it has been held.
    pub obtained_at: Option<SystemTime>,
    /// By the wall clock at the time it was obtained.
    pub expires_at: Option<SystemTime>,
    /// What is left of its life, by both clocks.
    pub expires_in: Option<Duration>,
    /// When a refresh is due.
    pub refresh_at: Option<SystemTime>,
    /// The scopes granted, separated by spaces, where the answer named them.
    pub granted: Option<String>,
    /// The failure since the last success.
    pub error: Option<Arc<TokenError>>,
    /// What is left of the pause after it.
    pub retry_in: Option<Duration>,
    /// The payload, with what names a person masked; `None` for an opaque token.
    pub claims: Option<Value>,
    /// How far the token endpoint's clock is ahead of ours, in seconds.
    pub skew_seconds: Option<i64>,
}

impl TokenState {
    /// In one word, for JSON and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetching => "fetching",
            Self::Live => "live",
            Self::RefreshFailing => "refresh-failing",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// Whether requests are served without waiting.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Live | Self::RefreshFailing)
    }
}

impl TokenSource {
    /// Whether a token is held that lives. Unlike [`TokenSource::current`] it counts as no use.
    pub fn is_ready(&self) -> bool {
        self.live.load().as_ref().is_some_and(|live| live.is_usable(&self.clock))
    }

    /// The state of the token; for pages and readiness, not for each request.
    pub fn status(&self) -> TokenStatus {
        let cold = self.lock();
        let held = self.live.load_full();
        let live = held.as_ref().filter(|live| live.is_usable(&self.clock));
        let error = cold.last_failure.as_ref().map(|(error, _)| Arc::clone(error));
        let state = match (live, &error) {
            (Some(_), None) => TokenState::Live,
            (Some(_), Some(_)) => TokenState::RefreshFailing,
            (None, Some(error)) if error.class() == Class::Permanent => TokenState::Refused,
            (None, Some(_)) => TokenState::Waiting,
            (None, None) if cold.flight.is_some() => TokenState::Fetching,
            (None, None) if cold.serial > 0 => TokenState::Expired,
            (None, None) => TokenState::Idle,
        };
        let token = live.and_then(|live| live.authorization.header.to_str().ok()?.strip_prefix("Bearer "));
        TokenStatus {
            state,
            obtained_at: live.map(|live| live.life.began_at()),
            expires_at: live.map(|live| live.life.ends_at()),
            expires_in: live.map(|live| live.life.until(live.life.length(), &self.clock)),
            refresh_at: live.map(|live| live.life.began_at() + live.refresh_after),
            granted: live.and_then(|live| live.scope.clone()),
            retry_in: self.pause_left(&cold, self.clock.monotonic()).map(|failure| failure.retry_after),
            error,
            claims: token.and_then(jwt::claims_for_display),
            skew_seconds: self.identity.profile().client().skew_seconds(),
        }
    }

    /// Whether it can be forgotten: nobody keeps it fresh, no fetch is under way, it holds no
    /// token that lives and no pause that must be kept, and it was not asked for lately.
    pub(in crate::oauth) fn is_spent(&self) -> bool {
        const LATELY: Duration = Duration::from_secs(60);
        let now = self.clock.monotonic();
        if self.is_kept() || self.is_ready() || now.saturating_duration_since(self.last_used()) < LATELY {
            return false;
        }
        let cold = self.lock();
        cold.flight.is_none() && self.pause_left(&cold, now).is_none()
    }

    /// When the token was last asked for, to the millisecond.
    pub(in crate::oauth) fn last_used(&self) -> Instant {
        self.born + Duration::from_millis(self.last_used.load(Ordering::Relaxed))
    }
}
