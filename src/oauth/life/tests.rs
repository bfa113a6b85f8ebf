use serde_json::json;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const NOW: u64 = 1_800_000_000;

fn stated(value: Value) -> Result<Duration, AnswerFault> {
    length(Some(&value), None, None, at(NOW))
}

#[test]
fn a_number_of_seconds_is_taken_as_it_is() {
    assert_eq!(stated(json!(119)), Ok(secs(119)));
    assert_eq!(stated(json!(7200)), Ok(secs(7200)));
    assert_eq!(stated(json!(119.5)), Ok(Duration::from_millis(119_500)));
    assert_eq!(stated(json!("119")), Ok(secs(119)));
}

#[test]
fn what_is_no_number_is_refused() {
    for value in
        [json!("NaN"), json!("inf"), json!("soon"), json!(""), json!("1e9"), json!(true), json!([119])]
    {
        assert_eq!(stated(value.clone()), Err(AnswerFault::ExpiresIn), "{value}");
    }
}

#[test]
fn a_token_without_a_life_worth_having_is_refused() {
    for value in [json!(0), json!(-1), json!(0.5), json!("0"), json!(-7200), json!("-5")] {
        assert_eq!(stated(value.clone()), Err(AnswerFault::Dead), "{value}");
    }
    assert_eq!(length(None, Some(NOW), None, at(NOW)), Err(AnswerFault::Dead));
    assert_eq!(length(None, Some(NOW - 10), Some(at(NOW)), at(NOW - 500)), Err(AnswerFault::Dead));
}

#[test]
fn without_expires_in_the_token_itself_tells_or_a_minute_is_assumed() {
    for missing in [None, Some(Value::Null)] {
        assert_eq!(length(missing.as_ref(), Some(NOW + 300), None, at(NOW)), Ok(secs(300)));
        assert_eq!(length(missing.as_ref(), None, None, at(NOW)), Ok(secs(60)));
    }
    // By the server's clock where it is known: ours is 100 s behind here.
    assert_eq!(length(None, Some(NOW + 300), Some(at(NOW)), at(NOW - 100)), Ok(secs(300)));
}

#[test]
fn an_implausible_number_gives_way_to_the_token() {
    let huge = [json!(1e300), json!(7_200_000), json!(u64::MAX)];
    for value in huge {
        assert_eq!(length(Some(&value), Some(NOW + 300), None, at(NOW)), Ok(secs(300)), "{value}");
        assert_eq!(length(Some(&value), None, None, at(NOW)), Ok(UNKNOWN), "{value}");
    }
    assert_eq!(length(None, Some(NOW * 2), None, at(NOW)), Ok(LONGEST));
}

#[test]
fn a_date_that_lies_makes_no_living_token_dead() {
    let life =
        |server: u64, local: u64| length(Some(&json!(119)), Some(NOW + 120), Some(at(server)), at(local));
    assert_eq!(life(NOW + 3600, NOW), Ok(secs(119)));
    assert_eq!(life(NOW - 3600, NOW), Ok(secs(119)));
    assert_eq!(life(NOW + 3600, NOW + 3600), Err(AnswerFault::Dead), "both clocks say so");
}

#[test]
fn milliseconds_are_cut_to_the_tokens_end() {
    assert_eq!(length(Some(&json!(60_000)), Some(NOW + 60), Some(at(NOW)), at(NOW)), Ok(secs(60)));
    // Our own clock, which may be off, does not overrule the answer.
    assert_eq!(length(Some(&json!(120)), Some(NOW + 60), None, at(NOW)), Ok(secs(120)));
}

#[test]
fn the_clock_that_says_less_counts() {
    let clock = Clock::manual(at(NOW));
    let life = Life::new(clock.wall(), clock.monotonic(), secs(120));
    assert_eq!(life.until(secs(120), &clock), secs(120));

    clock.advance(secs(20));
    assert_eq!(life.until(secs(120), &clock), secs(100));

    // The laptop slept: only the wall clock went on.
    clock.set_wall(at(NOW + 130));
    assert!(!life.is_within(secs(120), &clock));

    // The wall clock was set back by a little, then by much.
    clock.set_wall(at(NOW + 1));
    assert_eq!(life.until(secs(120), &clock), secs(100), "the monotonic clock went on");
    clock.set_wall(at(NOW - 4));
    assert!(life.is_within(secs(120), &clock), "a step as NTP makes it");
    clock.set_wall(at(NOW - 3600));
    assert!(!life.is_within(secs(120), &clock), "such a clock can vouch for nothing");
}

proptest::proptest! {
    #[test]
    fn no_clock_makes_a_dead_token_live(age in 120u64..100_000, wall in 0u64..(2 * NOW)) {
        let clock = Clock::manual(at(NOW));
        let life = Life::new(clock.wall(), clock.monotonic(), secs(120));
        clock.advance(secs(age));
        clock.set_wall(at(wall));
        proptest::prop_assert!(!life.is_within(secs(120), &clock));
        proptest::prop_assert_eq!(life.until(secs(120), &clock), Duration::ZERO);
    }

    #[test]
    fn a_length_is_always_within_bounds(expires_in: f64, exp: Option<u64>, server: Option<u32>) {
        let server = server.map(|seconds| at(seconds.into()));
        let exp = exp.filter(|exp| *exp < 253_402_300_800);
        if let Ok(length) = length(Some(&json!(expires_in)), exp, server, at(NOW)) {
            proptest::prop_assert!(length >= SHORTEST && length <= LONGEST);
        }
    }
}

#[test]
fn being_within_a_limit_is_being_younger_than_it() {
    let clock = Clock::manual(at(NOW));
    let monotonic = clock.monotonic();
    // Beginnings that the wall clock has set back from, up to a step and beyond, or that are past.
    for wall in [-6_000, -5_001, -5_000, -1, 0, 1, 4_000, 10_000] {
        for passed in [0, 1, 4_000, 10_000] {
            let began = match u64::try_from(wall) {
                Ok(ago) => at(NOW) - Duration::from_millis(ago),
                Err(_) => at(NOW) + Duration::from_millis(i64::unsigned_abs(wall)),
            };
            let life =
                Life::new(began, monotonic.checked_sub(Duration::from_millis(passed)).unwrap(), secs(60));
            for limit in [0, 1, 2, 4_000, 4_001, 10_000, 10_001, 60_000] {
                let limit = Duration::from_millis(limit);
                let expected = life.age(&clock).is_some_and(|age| age < limit);
                assert_eq!(life.is_within(limit, &clock), expected, "{wall} {passed} {limit:?}");
            }
        }
    }
}
