//! Clocks that differ, jump, or stand still.

use std::time::{Duration, SystemTime};

use maskinporten_proxy::clock::Clock;
use maskinporten_proxy::sandbox::SandboxOptions;

use crate::support::{sandbox, sandbox_with, until};
use crate::tokens::{echo, token_of};

#[tokio::test]
async fn a_few_seconds_cost_no_second_attempt() {
    for offset in [-4, -2, 2, 4] {
        let sandbox = sandbox().await;
        sandbox.control().set_clock_offset(offset);
        let app = echo(&sandbox).start().await;
        token_of(&app).await;
        assert_eq!(sandbox.control().counts().token_requests, 1, "{offset} s");
        assert_eq!(app.status().await["clients"][0]["warning"], serde_json::Value::Null, "{offset} s");
    }
}

#[tokio::test]
async fn a_clock_that_is_minutes_off_is_corrected_for_and_reported() {
    for (offset, side) in [(300, "behind"), (-300, "ahead of"), (7200, "behind"), (-86_400, "ahead of")] {
        let sandbox = sandbox().await;
        sandbox.control().set_clock_offset(offset);
        let app = echo(&sandbox).start().await;
        token_of(&app).await;
        assert_eq!(sandbox.control().counts().token_requests, 2, "{offset} s: refused, corrected");
        let left = app.token("echo").await["expires_in"].as_i64().expect("seconds");
        assert!((100..=119).contains(&left), "{offset} s: {left}");

        let client = app.status().await["clients"][0].clone();
        let seen = client["clock_offset"].as_i64().expect("seconds");
        assert!((seen - offset).abs() <= 2, "{offset} s: {seen}");
        let warning = client["warning"].as_str().expect("a warning");
        assert!(warning.contains(side) && warning.contains("clock"), "{warning}");
        assert!(app.admin_get("/").await.text().contains(side));

        assert_eq!(app.refresh("echo").await.status, 200);
        assert_eq!(sandbox.control().counts().token_requests, 3, "{offset} s: right from the first");
        token_of(&app).await;
        assert_eq!(sandbox.control().counts().dead_tokens, 0);
    }
}

#[tokio::test]
async fn a_date_that_lies_spoils_no_grant_and_no_token() {
    for offset in [3600, -3600, 110] {
        let sandbox = sandbox().await;
        sandbox.control().set_date_offset(offset);
        let app = echo(&sandbox).start().await;
        token_of(&app).await;
        assert_eq!(sandbox.control().counts().token_requests, 1, "{offset} s");
        assert_eq!(sandbox.control().counts().dead_tokens, 0);
    }
}

#[tokio::test]
async fn after_a_sleep_or_a_step_of_the_clock_no_dead_token_is_sent() {
    let clock = Clock::manual(SystemTime::now());
    let sandbox = sandbox_with(SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() }).await;
    let app = echo(&sandbox).start_cold_with(clock.clone()).await;
    app.running.tokens().await.expect("a token");
    let mut last = token_of(&app).await["jti"].clone();
    let hour = Duration::from_secs(3600);
    let steps: [(&str, &dyn Fn()); 4] = [
        // The monotonic clock stands still while a laptop sleeps.
        ("a sleep", &|| clock.set_wall(clock.wall() + hour)),
        ("a clock set back", &|| clock.set_wall(clock.wall() - 3 * hour)),
        ("a clock set forward", &|| clock.set_wall(clock.wall() + 3 * hour)),
        ("a life that went by", &|| clock.advance(Duration::from_secs(118))),
    ];
    for (name, step) in steps {
        step();
        let token = token_of(&app).await["jti"].clone();
        assert_ne!(token, last, "{name}: the token from before is not to be trusted");
        assert_eq!(sandbox.control().dead_tokens(), [], "{name}");
        last = token;
    }
    until("it is ready", || async { app.admin_get("/readyz").await.status == 200 }).await;
}
