//! How long a token lives, and whether it still does.
//!
//! A life is judged by the wall clock and the monotonic one together, whichever says less: the
//! monotonic clock stands still while a laptop sleeps, and the wall clock can be set back.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::clock::Clock;
use crate::oauth::error::AnswerFault;

/// Used where neither `expires_in` nor the token says when it ends.
const UNKNOWN: Duration = Duration::from_secs(60);

/// A token that lives for less is not worth having; asking for such ones again and again would be
/// a loop of requests.
const SHORTEST: Duration = Duration::from_secs(1);

/// No access token lives for longer. More is milliseconds taken for seconds, or a mistake.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The wall clock may step back by as much, as NTP does, without casting doubt on a token.
const STEP: Duration = Duration::from_secs(5);

/// A span of time with a beginning on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    wall: SystemTime,
    monotonic: Instant,
    length: Duration,
}

impl Life {
    /// A life that began when both clocks stood as given.
    pub fn new(wall: SystemTime, monotonic: Instant, length: Duration) -> Self {
        Self { wall, monotonic, length }
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    pub fn began_at(&self) -> SystemTime {
        self.wall
    }

    pub fn ends_at(&self) -> SystemTime {
        self.wall + self.length
    }

    /// Whether less than `limit` of the life has passed, as far as the clocks can tell.
    #[inline(always)]
    pub fn is_within(&self, limit: Duration, clock: &Clock) -> bool {
        // Sums in place of an age, which takes differences: every request asks for this.
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let is_young = monotonic < self.monotonic + limit && wall < self.wall + limit;
        is_young && wall + STEP >= self.wall && !limit.is_zero()
    }

    /// What is left until `limit` after the beginning; zero where that is past or unknown.
    pub fn until(&self, limit: Duration, clock: &Clock) -> Duration {
        self.age(clock).map_or(Duration::ZERO, |age| limit.saturating_sub(age))
    }

    /// How old it is, by the clock that says more; `None` where the wall clock stands before the
    /// beginning, since it has been set back and can vouch for nothing.
    pub fn age(&self, clock: &Clock) -> Option<Duration> {
        let by_monotonic = clock.monotonic().saturating_duration_since(self.monotonic);
        let by_wall = match clock.wall().duration_since(self.wall) {
            Ok(age) => age,
            Err(before) if before.duration() <= STEP => Duration::ZERO,
            Err(_) => return None,
        };
        Some(by_wall.max(by_monotonic))
    }
}

/// The length of a token's life from the answer that brought it.
///
/// `expires_in` (RFC 6749 §5.1) counts, but no longer than the token's own `exp` (seconds since
/// 1970) says by the server's time; `exp` alone where it is missing or implausible; a minute where
/// nothing is known.
///
/// # Errors
///
/// When `expires_in` is no number, or the token is dead or as good as dead.
pub(in crate::oauth) fn length(
    expires_in: Option<&Value>,
    exp: Option<u64>,
    server_time: Option<SystemTime>,
    local_time: SystemTime,
) -> Result<Duration, AnswerFault> {
    let stated = match expires_in {
        None | Some(Value::Null) => None,
        Some(value) => Some(seconds(value).ok_or(AnswerFault::ExpiresIn)?),
    };
    if stated.is_some_and(|stated| stated < SHORTEST.as_secs_f64()) {
        return Err(AnswerFault::Dead);
    }
    let stated = stated.filter(|stated| *stated <= LONGEST.as_secs_f64()).map(Duration::from_secs_f64);

    let until_exp = |now: SystemTime| {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(exp?);
        Some(end.duration_since(now).unwrap_or_default())
    };
    let by_exp = match (server_time, stated) {
        // The server's own time can be held against its own `exp`. By a `Date` that something on
        // the way made up, a token may look dead that is not: then our clock has a say.
        (Some(now), _) => match until_exp(now) {
            Some(left) if left < SHORTEST && stated.is_some() => until_exp(local_time),
            left => left,
        },
        // Ours can be off, so it does not overrule a plausible `expires_in`.
        (None, Some(_)) => None,
        (None, None) => until_exp(local_time),
    };
    let length = match (stated, by_exp) {
        (Some(stated), Some(by_exp)) => stated.min(by_exp),
        (Some(stated), None) => stated,
        (None, Some(by_exp)) => by_exp.min(LONGEST),
        (None, None) => UNKNOWN,
    };
    if length < SHORTEST { Err(AnswerFault::Dead) } else { Ok(length) }
}

fn seconds(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        // Some servers quote it; plain decimals alone ("NaN" and "inf" parse as f64 too).
        Value::String(text) => {
            let text = text.trim();
            let plain =
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
            plain.then(|| text.parse().ok())??
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests;
