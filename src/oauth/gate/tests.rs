use std::time::SystemTime;

use super::*;
use crate::oauth::error::Service;

fn down(retry_after: Option<u64>) -> Arc<TokenError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Arc::new(TokenError::Unavailable { service: Service::TokenEndpoint, status: 503, retry_after })
}

fn gate() -> (Gate, Clock) {
    let clock = Clock::manual(SystemTime::now());
    (Gate::new(clock.clone()), clock)
}

#[test]
fn pauses_grow_with_jitter_up_to_the_longest() {
    for failures in 1..40 {
        for _ in 0..20 {
            let pause = Pause::after(&down(None), failures);
            let full = f64::from(1u32 << (failures - 1).min(16));
            for longest in [0.2, 6.0, 60.0] {
                let length = pause.within(Duration::from_secs_f64(longest)).as_secs_f64();
                let full = full.min(longest);
                assert!(length >= full / 2.001 && length <= full, "{failures}: {length}");
            }
        }
    }
    let (least, most) =
        (0..200).map(|_| jitter()).fold((1.0f64, 0.0f64), |(low, high), j| (low.min(j), high.max(j)));
    assert!(least < 0.2 && most > 0.8 && most <= 1.0, "{least} {most}");
}

#[test]
fn a_pause_that_is_asked_for_is_kept_even_by_one_in_a_hurry() {
    let hurry = Duration::from_millis(100);
    let pause = Pause::after(&down(Some(40)), 1).within(hurry);
    assert!(pause >= Duration::from_secs(40) && pause <= Duration::from_secs(42), "{pause:?}");
    assert!(Pause::after(&down(Some(0)), 1).within(hurry) >= SHORTEST_ASKED);
    assert!(Pause::after(&TokenError::IssuerUrl, 1).within(hurry) >= PERMANENT);
}

#[tokio::test]
async fn one_in_a_hurry_waits_for_less() {
    let (gate, clock) = gate();
    for _ in 0..5 {
        gate.enter(LONGEST).await.expect("open").failed(&down(None));
        clock.advance(LONGEST);
    }
    gate.enter(LONGEST).await.expect("open").failed(&down(None));
    clock.advance(Duration::from_secs(6));
    assert!(gate.enter(LONGEST).await.is_err());
    assert!(gate.enter(Duration::from_secs(6)).await.is_ok());
}

#[tokio::test]
async fn a_failure_shuts_it_for_everyone_and_time_opens_it() {
    let (gate, clock) = gate();
    gate.enter(LONGEST).await.expect("open").failed(&down(Some(30)));
    let told = gate.enter(LONGEST).await.err().expect("shut");
    assert_eq!(told.error, down(Some(30)));
    clock.advance(Duration::from_secs(29));
    assert!(gate.enter(LONGEST).await.is_err());
    clock.advance(Duration::from_secs(3));
    gate.enter(LONGEST).await.expect("the pause is over").succeeded();
    let (one, other) = (gate.enter(LONGEST).await, gate.enter(LONGEST).await);
    assert!(one.is_ok() && other.is_ok(), "wide open again");
}

#[tokio::test]
async fn attempts_that_fail_together_count_once() {
    let (gate, clock) = gate();
    let mut passes = Vec::new();
    for _ in 0..50 {
        passes.push(gate.enter(LONGEST).await.expect("open"));
    }
    let until: Vec<_> = passes.into_iter().map(|pass| pass.failed(&down(None)).not_before).collect();
    assert!(until.windows(2).all(|pair| pair[0] == pair[1]));
    clock.advance(Duration::from_secs(1));
    assert!(gate.enter(LONGEST).await.is_ok(), "the first pause, not the fiftieth");
}

#[tokio::test]
async fn after_a_pause_one_goes_ahead_and_the_others_wait_for_it() {
    let (gate, clock) = gate();
    let gate = Arc::new(gate);
    gate.enter(LONGEST).await.expect("open").failed(&down(None));
    clock.advance(Duration::from_secs(2));
    let probe = gate.enter(LONGEST).await.expect("one may try");
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.enter(LONGEST).await.is_ok() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    probe.failed(&down(None));
    for task in waiting {
        assert!(!task.await.expect("no panic"), "they are told of its failure");
    }
}

#[tokio::test]
async fn only_refusals_are_forgiven() {
    let (gate, _clock) = gate();
    gate.enter(LONGEST).await.expect("open").failed(&Arc::new(TokenError::IssuerUrl));
    gate.forgive();
    gate.enter(LONGEST).await.expect("open again").failed(&down(Some(60)));
    gate.forgive();
    assert!(gate.enter(LONGEST).await.is_err(), "a pause that was asked for is kept");
}
