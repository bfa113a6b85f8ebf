//! What the sandbox has seen: for tests to look at. Counts are exact; the entries are the latest
//! [`KEPT`] of each kind.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::watch;

use super::claims::Claims;
use super::tokens::Kind;

/// Entries of each kind that are kept.
pub const KEPT: usize = 10_000;

/// A request to the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The sandbox's time.
    pub at: SystemTime,
    /// The header of the grant; empty where there was no JWT.
    pub header: Claims,
    /// The claims of the grant; empty where there was no JWT.
    pub claims: Claims,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a token request ended, whatever a fault then did to the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A token with this `jti` was issued.
    Issued { jti: String },
    /// Refused: the `MP-…` code, or the description where it has none.
    Refused(String),
    /// A fault switch answered in the endpoint's place.
    Fault,
}

/// A request to the self-service API, the echo API or Altinn's exchange.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The sandbox's time when the head had come in.
    pub at: SystemTime,
    /// As it came, extension methods too.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: String,
    /// In the order received, lines of one name together. `Authorization` is marked sensitive.
    pub headers: HeaderMap,
    /// The body's first bytes, 4 KiB at most.
    pub body: Bytes,
    /// Bytes of the body in all.
    pub body_length: u64,
    /// Whether the body came to its end; false also where nothing read it.
    pub body_complete: bool,
    /// The claims of the token, where it was live.
    pub token: Option<Claims>,
    /// Who issued the token, where it was live.
    pub token_kind: Option<Kind>,
}

/// A token that was used after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadToken {
    /// The sandbox's time.
    pub at: SystemTime,
    /// `None` where the token was forgotten long ago.
    pub jti: Option<String>,
    /// How it had ended.
    pub death: Death,
}

/// How a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// So long before it was used.
    Expired(Duration),
    /// By a test, before it expired.
    Revoked,
}

/// How many of each were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// To `/.well-known/oauth-authorization-server`.
    pub metadata_requests: u64,
    /// `POST`s to `/token` whose body came in whole.
    pub token_requests: u64,
    /// Of these, answered with a token.
    pub tokens_issued: u64,
    /// To Altinn's exchange.
    pub altinn_requests: u64,
    /// To the self-service API and the echo API.
    pub api_requests: u64,
    /// Uses of tokens past their expiry or revocation.
    pub dead_tokens: u64,
    /// Uses of tokens that are none of this sandbox's.
    pub unknown_tokens: u64,
    /// Requests without any token where one is required.
    pub missing_tokens: u64,
    /// Requests whose client left before the answer was whole, or whose answer was broken off.
    pub abandoned: u64,
}

/// All of it, behind one lock; a watch tells when the counts move.
pub(super) struct Records {
    inner: Mutex<Inner>,
    counts: watch::Sender<Counts>,
}

#[derive(Default)]
struct Inner {
    token_requests: VecDeque<TokenRequest>,
    api_requests: VecDeque<ApiRequest>,
    altinn_requests: VecDeque<ApiRequest>,
    dead_tokens: VecDeque<DeadToken>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), counts: watch::Sender::new(Counts::default()) }
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(add);
    }

    pub(super) fn token_request(&self, request: TokenRequest) {
        let issued = u64::from(matches!(request.outcome, Outcome::Issued { .. }));
        self.with(|inner| push(&mut inner.token_requests, request));
        self.count(|counts| {
            counts.token_requests += 1;
            counts.tokens_issued += issued;
        });
    }

    pub(super) fn api_request(&self, request: ApiRequest) {
        self.with(|inner| push(&mut inner.api_requests, request));
        self.count(|counts| counts.api_requests += 1);
    }

    pub(super) fn altinn_request(&self, request: ApiRequest) {
        self.with(|inner| push(&mut inner.altinn_requests, request));
        self.count(|counts| counts.altinn_requests += 1);
    }

    pub(super) fn dead_token(&self, token: DeadToken) {
        self.with(|inner| push(&mut inner.dead_tokens, token));
        self.count(|counts| counts.dead_tokens += 1);
    }

    pub(super) fn token_requests(&self) -> Vec<TokenRequest> {
        self.with(|inner| inner.token_requests.iter().cloned().collect())
    }

    pub(super) fn api_requests(&self) -> Vec<ApiRequest> {
        self.with(|inner| inner.api_requests.iter().cloned().collect())
    }

    pub(super) fn altinn_requests(&self) -> Vec<ApiRequest> {
        self.with(|inner| inner.altinn_requests.iter().cloned().collect())
    }

    pub(super) fn dead_tokens(&self) -> Vec<DeadToken> {
        self.with(|inner| inner.dead_tokens.iter().cloned().collect())
    }

    /// Forgets the entries and sets the counts to zero.
    pub(super) fn clear(&self) {
        self.with(|inner| *inner = Inner::default());
        self.counts.send_replace(Counts::default());
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn push<T>(queue: &mut VecDeque<T>, entry: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(entry);
}
