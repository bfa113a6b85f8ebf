use std::sync::atomic::AtomicUsize;

use serde_json::json;
use tokio::sync::Semaphore;

use super::flight::SHORTEST_PAUSE;
use super::*;
use crate::oauth::error::{MaskinportenError, Service};
use crate::oauth::fetch::{Errand, Fetching};
use crate::oauth::gate::FetchError;
use crate::oauth::mp;
use crate::oauth::testing::{Bench, idle_identity};
use crate::oauth::token_endpoint::AccessToken;

/// What a scripted fetch does.
#[derive(Clone, Debug)]
enum Act {
    /// A token that lives for so many seconds.
    Token(u64),
    Fail(TokenError),
    Panic,
}

/// A fetch that does as it is told, counts, and can be held up.
struct Script {
    clock: Clock,
    acts: Mutex<Act>,
    fetches: AtomicUsize,
    anew: AtomicUsize,
    leave: Semaphore,
}

struct Scripted(Arc<Script>);

impl Fetch for Scripted {
    fn fetch(&self, errand: Errand) -> Fetching<'_> {
        Box::pin(async move {
            let script = &self.0;
            let number = script.fetches.fetch_add(1, Ordering::Relaxed);
            script.anew.fetch_add(usize::from(errand.anew), Ordering::Relaxed);
            let _leave = script.leave.acquire().await.expect("it is never closed");
            let act = script.acts.lock().expect("nobody panics with the lock held").clone();
            match act {
                Act::Token(seconds) => {
                    let (wall, monotonic) = (script.clock.wall(), script.clock.monotonic());
                    Ok(AccessToken::new(
                        &format!("token-{number}"),
                        Some(&json!(seconds)),
                        None,
                        wall,
                        monotonic,
                    )
                    .expect("it is valid"))
                }
                Act::Fail(error) => Err(FetchError { error: Arc::new(error), not_before: None }),
                Act::Panic => panic!("the fetch panics, as it was told to"),
            }
        })
    }
}

/// A source, its script and the time, on paused tokio time.
struct World {
    _bench: Bench,
    clock: Clock,
    script: Arc<Script>,
    source: Arc<TokenSource>,
}

impl World {
    fn new(act: Act) -> Self {
        let bench = Bench::new();
        let clock = bench.clock.clone();
        let script = Arc::new(Script {
            clock: clock.clone(),
            acts: Mutex::new(act),
            fetches: AtomicUsize::new(0),
            anew: AtomicUsize::new(0),
            leave: Semaphore::new(1),
        });
        let fetch = Box::new(Scripted(Arc::clone(&script)));
        let source = TokenSource::new(idle_identity(&bench), fetch, Handle::current(), clock.clone());
        Self { _bench: bench, clock, script, source }
    }

    fn act(&self, act: Act) {
        *self.script.acts.lock().expect("nobody panics with the lock held") = act;
    }

    fn fetches(&self) -> usize {
        self.script.fetches.load(Ordering::Relaxed)
    }

    /// Lets both clocks and tokio's timers go on together.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        let mut left = time;
        while !left.is_zero() {
            let now = step.min(left);
            self.clock.advance(now);
            tokio::time::advance(now).await;
            settle().await;
            left -= now;
        }
    }

    fn held(&self) -> Option<String> {
        let authorization = self.source.current()?;
        Some(authorization.header.to_str().expect("visible").to_owned())
    }
}

/// Lets the tasks that can go on do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn down() -> TokenError {
    TokenError::Unavailable { service: Service::TokenEndpoint, status: 503, retry_after: None }
}

fn refused(description: &str) -> TokenError {
    TokenError::Refused(Box::new(MaskinportenError {
        status: 400,
        error: "invalid_grant".into(),
        error_description: Some(description.into()),
        error_uri: None,
        entry: mp::lookup(description),
    }))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_cause_one_fetch() {
    let world = World::new(Act::Token(120));
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let source = Arc::clone(&world.source);
            tokio::spawn(async move { source.authorization().await.expect("a token").serial })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), 1);
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_takes_nothing_from_the_others() {
    let world = World::new(Act::Token(120));
    let hold = world.script.leave.acquire().await.expect("open");
    let request = || {
        let source = Arc::clone(&world.source);
        tokio::spawn(async move { source.authorization().await })
    };
    let (first, second) = (request(), request());
    settle().await;
    assert_eq!(world.source.status().state, TokenState::Fetching);
    first.abort();
    assert!(first.await.expect_err("it left").is_cancelled());
    drop(hold);
    second.await.expect("no panic").expect("the fetch went on");
    assert_eq!(world.fetches(), 1);
}

#[test]
fn requests_may_come_from_other_runtimes() {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let world = control.block_on(async { World::new(Act::Token(120)) });
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let source = Arc::clone(&world.source);
            std::thread::spawn(move || {
                let worker = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                worker.block_on(source.authorization()).expect("a token").serial
            })
        })
        .collect();
    assert!(requests.into_iter().all(|request| request.join().expect("no panic") == 1));
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_reaches_those_who_waited_and_is_not_kept_past_the_pause() {
    let world = World::new(Act::Fail(down()));
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let source = Arc::clone(&world.source);
            tokio::spawn(async move { source.authorization().await.expect_err("it is down") })
        })
        .collect();
    for request in requests {
        let failure = request.await.expect("no panic");
        assert_eq!(*failure.error, down());
        assert!(!failure.is_permanent());
        assert!(failure.retry_after >= SHORTEST_PAUSE && failure.retry_after <= secs(1), "{failure:?}");
    }
    assert_eq!(world.fetches(), 1);
    world.act(Act::Token(120));
    world.source.authorization().await.expect_err("the pause is in force");
    assert_eq!(world.fetches(), 1, "nobody is asked during the pause");

    world.pass(secs(1)).await;
    world.source.authorization().await.expect("a later request makes its own attempt");
    assert!(world.source.status().error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_kept_token_is_replaced_ahead_of_its_end() {
    for life in [2, 119, 7200] {
        let world = World::new(Act::Token(life));
        world.source.keep_fresh();
        settle().await;
        for _ in 0..20 {
            assert!(world.held().is_some(), "life {life}");
            world.pass((secs(life) / 10).max(Duration::from_millis(100)).min(secs(60))).await;
        }
        if life < 200 {
            let fetches = world.fetches();
            assert!((4..=8).contains(&fetches), "two lives, {fetches} fetches");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_token_serves_while_the_endpoint_is_down_and_no_dead_one_ever() {
    let world = World::new(Act::Token(120));
    world.source.keep_fresh();
    settle().await;
    world.act(Act::Fail(down()));
    world.pass(secs(100)).await;
    assert_eq!(world.held().as_deref(), Some("Bearer token-0"));
    let status = world.source.status();
    assert_eq!(status.state, TokenState::RefreshFailing);
    assert_eq!(status.error.as_deref(), Some(&down()));

    world.pass(secs(10)).await;
    assert_eq!(world.held(), None, "a tenth of the life is the margin");
    assert_eq!(world.source.status().state, TokenState::Waiting);
    let failure = world.source.authorization().await.expect_err("down");
    assert!(failure.retry_after <= secs(6), "{failure:?}");

    let before = world.fetches();
    world.pass(secs(600)).await;
    let attempts = world.fetches() - before;
    assert!((100..=205).contains(&attempts), "pauses of three to six seconds: {attempts}");

    world.act(Act::Token(120));
    world.pass(secs(10)).await;
    assert!(world.held().is_some(), "it heals by itself");
    assert_eq!(world.source.status().state, TokenState::Live);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_must_mend_is_asked_once_a_minute_and_on_reload() {
    let world = World::new(Act::Fail(refused("no such client (MP-100)")));
    world.source.keep_fresh();
    settle().await;
    for _ in 0..100 {
        let failure = world.source.authorization().await.expect_err("refused");
        assert!(failure.is_permanent());
    }
    assert_eq!(world.fetches(), 1);
    assert_eq!(world.source.status().state, TokenState::Refused);
    world.pass(secs(59)).await;
    assert_eq!(world.fetches(), 1);
    world.pass(secs(541)).await;
    assert!((8..=11).contains(&world.fetches()), "{}", world.fetches());

    let before = world.fetches();
    world.act(Act::Token(120));
    world.source.retry_now();
    settle().await;
    assert_eq!(world.fetches(), before + 1);
    assert!(world.held().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_cut_a_pause_for_a_fault_that_passes() {
    let world = World::new(Act::Fail(TokenError::Unavailable {
        service: Service::TokenEndpoint,
        status: 429,
        retry_after: Some(secs(120)),
    }));
    world.source.authorization().await.expect_err("429");
    world.source.retry_now();
    world.pass(secs(100)).await;
    let failure = world.source.authorization().await.expect_err("the pause is in force");
    assert!(failure.retry_after >= secs(20), "{failure:?}");
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_dropped_and_no_newer_one() {
    let world = World::new(Act::Token(120));
    let first = world.source.authorization().await.expect("a token");
    assert!(world.source.rejected(first.serial));
    assert!(world.held().is_none());
    let second = world.source.authorization().await.expect("another token");
    assert_ne!(first.serial, second.serial);
    assert_eq!(world.script.anew.load(Ordering::Relaxed), 1, "it was got from scratch");

    // A slow request comes back with the first token's 401.
    assert!(world.source.rejected(first.serial), "there is a newer one to try");
    assert_eq!(world.source.current().expect("kept").serial, second.serial);
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_always_answers_401_causes_few_fetches() {
    let world = World::new(Act::Token(7200));
    world.source.keep_fresh();
    for _ in 0..600 {
        // The proxy's rule: once more with a fresh token, then the 401 passes.
        for _ in 0..2 {
            let authorization = world.source.authorization().await.expect("there is always a token");
            if !world.source.rejected(authorization.serial) {
                break;
            }
        }
        world.pass(Duration::from_millis(100)).await;
    }
    // At 0 s, 5 s and 35 s of this minute, after the first.
    assert_eq!(world.fetches(), 4);
    assert!(world.held().is_some(), "other routes are served all the while");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_thrown_away_while_no_other_can_be_had() {
    let world = World::new(Act::Token(120));
    world.source.keep_fresh();
    settle().await;
    world.act(Act::Fail(down()));
    world.pass(secs(85)).await;
    assert_eq!(world.source.status().state, TokenState::RefreshFailing);
    while world.source.status().retry_in.is_none() {
        world.pass(Duration::from_millis(100)).await;
    }
    let held = world.source.current().expect("it lives");
    assert!(!world.source.rejected(held.serial));
    assert!(world.held().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_slept_has_no_dead_token() {
    let world = World::new(Act::Token(120));
    world.source.keep_fresh();
    settle().await;
    // Only the wall clock goes on while it sleeps.
    world.clock.set_wall(world.clock.wall() + secs(3600));
    assert_eq!(world.held(), None);
    world.pass(secs(6)).await;
    assert_eq!(
        world.held().as_deref(),
        Some("Bearer token-1"),
        "replaced soon after waking, with nobody asking"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_makes_no_dead_token_live() {
    let world = World::new(Act::Token(120));
    world.source.authorization().await.expect("a token");
    world.clock.set_wall(world.clock.wall() - secs(3600));
    assert_eq!(world.held(), None, "such a clock can vouch for nothing");
    world.source.authorization().await.expect("a token by the new time");
    let set_back = world.clock.wall();
    world.clock.advance(secs(115));
    world.clock.set_wall(set_back);
    assert_eq!(world.held(), None, "the monotonic clock knows");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_came_with_a_request_is_refreshed_only_if_it_is_used() {
    let world = World::new(Act::Token(100));
    world.source.authorization().await.expect("a token");
    world.pass(secs(40)).await;
    assert_eq!(world.fetches(), 1, "nobody used it");
    assert!(world.held().is_some(), "this use begins a refresh, and does not wait for it");
    settle().await;
    assert_eq!(world.fetches(), 2);
    assert_eq!(world.held().as_deref(), Some("Bearer token-1"));
    world.pass(secs(200)).await;
    assert_eq!(world.fetches(), 2);
    assert_eq!(world.source.status().state, TokenState::Expired);
    assert!(world.source.is_spent());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_panics_is_an_error_and_not_the_end() {
    let world = World::new(Act::Panic);
    let failure = world.source.authorization().await.expect_err("it panicked");
    assert_eq!(*failure.error, TokenError::Interrupted);
    world.act(Act::Token(120));
    world.pass(secs(1)).await;
    world.source.authorization().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_let_go_is_refreshed_no_more() {
    let world = World::new(Act::Token(60));
    world.source.keep_fresh();
    world.source.keep_fresh();
    settle().await;
    assert_eq!(world.fetches(), 1);
    world.source.let_go();
    settle().await;
    world.pass(secs(200)).await;
    assert_eq!(world.fetches(), 1);
    world.source.keep_fresh();
    settle().await;
    assert_eq!(world.fetches(), 2, "and it can be taken up again");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_everything_but_the_token() {
    let world = World::new(Act::Token(120));
    assert_eq!(world.source.status().state, TokenState::Idle);
    world.source.authorization().await.expect("a token");
    world.pass(secs(20)).await;
    let status = world.source.status();
    assert_eq!(status.state, TokenState::Live);
    assert_eq!(status.expires_in, Some(secs(100)));
    assert_eq!(status.expires_at, Some(world.clock.wall() + secs(100)));
    let refresh = status.refresh_at.expect("it is due at a time").duration_since(world.clock.wall());
    let refresh = refresh.expect("it is ahead");
    assert!(refresh >= secs(18) && refresh <= secs(24), "{refresh:?}");
    assert!(!format!("{status:?} {:?} {:?}", world.source, world.source.current()).contains("token-0"));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_for_half_of_each_life_costs_nobody_anything() {
    for life in [10u64, 119, 7200] {
        let world = World::new(Act::Token(life));
        world.source.keep_fresh();
        settle().await;
        let step = (secs(life) / 400).max(Duration::from_millis(25));
        // Up for half a life and down for the next, over twelve lives.
        for half in 0..24 {
            world.act(if half % 2 == 0 { Act::Token(life) } else { Act::Fail(down()) });
            let mut left = secs(life) / 2;
            while !left.is_zero() {
                assert!(world.held().is_some(), "life {life}, half {half}, {left:?} before its end");
                let now = step.min(left);
                world.clock.advance(now);
                tokio::time::advance(now).await;
                settle().await;
                left -= now;
            }
        }
    }
}
