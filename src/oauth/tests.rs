//! What concerns the module as a whole: that no secret comes out of it by way of a log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::testing::{Bench, Endpoint, answer, refusal_answer, token_answer, unsigned_jwt};
use super::*;
use crate::secret::Secret;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with the lock held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_at_any_level() {
    const PID: &str = "17018900123";
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let bench = Bench::new();
    let exchanged = unsigned_jwt(&json!({"exp": 4_000_000_000u64, "pid": PID}));
    let body = exchanged.clone();
    let endpoint = Endpoint::start(move |number, seen| match (number, seen.path.as_str()) {
        (0, _) => refusal_answer(&format!("echo of {} for {PID} (MP-012)", seen.body)),
        (_, "/token") => token_answer("canary-token", 120),
        (2, _) => answer(401, format!("not you, {PID} with canary-token")),
        _ => answer(200, body.clone()),
    })
    .await;
    let profile =
        Profile::new(bench.client(&endpoint), vec!["a:b".into()], Vec::new(), Some(endpoint.url("/")));
    let source = bench.sources.source(&Identity::new(profile).with_pid(Secret::from(PID)));
    source.authorization().await.expect_err("Altinn refuses");
    bench.clock.advance(std::time::Duration::from_secs(120));
    let authorization = source.authorization().await.expect("a token");
    tracing::trace!(?source, ?authorization, status = ?source.status(), "positive control");

    let log = String::from_utf8(captured.0.lock().expect("nobody panicked").clone()).expect("text");
    for expected in ["positive control", "token obtained", "no token", "MP-012", "hyper_util"] {
        assert!(log.contains(expected), "{expected} is missed in {log}");
    }
    let grants: Vec<_> = endpoint
        .seen()
        .iter()
        .filter_map(|seen| seen.body.split("assertion=").nth(1).map(str::to_owned))
        .collect();
    assert_eq!(grants.len(), 3);
    for grant in &grants {
        for part in grant.split('.').filter(|part| !part.is_empty()) {
            assert!(!log.contains(part), "a part of the grant is in {log}");
        }
    }
    for secret in [PID, "canary-token", exchanged.as_str(), "eyJ"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}
