//! Token requests, as the metrics count them.

use std::sync::Arc;
use std::time::Duration;

use crate::oauth::{Observer, Outcome};
use crate::telemetry::{FetchOutcome, Metrics};

#[derive(Debug)]
pub(super) struct FetchMetrics(Arc<Metrics>);

impl FetchMetrics {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl Observer for FetchMetrics {
    fn fetched(&self, client: &str, outcome: Outcome, took: Duration) {
        let outcome = match outcome {
            Outcome::Obtained => FetchOutcome::Ok,
            Outcome::Refused => FetchOutcome::Refused,
            Outcome::Failed => FetchOutcome::Unavailable,
        };
        self.0.token_fetched(client, outcome, took);
    }
}
