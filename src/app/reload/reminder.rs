//! Warnings that come again: what was logged at start has scrolled away by the time it matters.

use std::time::{Duration, SystemTime};

use crate::state::State;

/// Tells when another day has passed.
pub(super) struct Reminder {
    last: SystemTime,
}

impl Reminder {
    const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Counts from `now`, by the wall clock: a machine that sleeps gets older too.
    pub(super) fn new(now: SystemTime) -> Self {
        Self { last: now }
    }

    /// Once a day, warns of keys whose certificates end soon.
    pub(super) fn look(&mut self, state: &State, now: SystemTime) {
        if !self.is_due(now) {
            return;
        }
        for (client, key) in &state.keys {
            for warning in key.warnings(now) {
                tracing::warn!("the key of client `{client}`: {warning}");
            }
        }
    }

    fn is_due(&mut self, now: SystemTime) -> bool {
        match now.duration_since(self.last) {
            Ok(since) if since < Self::EVERY => false,
            Ok(_) => {
                self.last = now;
                true
            }
            // The clock was set back: the day is counted from there.
            Err(_) => {
                self.last = now;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_is_due_once_a_day_by_the_wall_clock() {
        let hour = Duration::from_secs(60 * 60);
        let start = SystemTime::UNIX_EPOCH + 1_000_000 * hour;
        let mut reminder = Reminder::new(start);
        let due: Vec<u32> = (1..=72).filter(|hours| reminder.is_due(start + *hours * hour)).collect();
        assert_eq!(due, [24, 48, 72]);
        assert!(!reminder.is_due(start), "set back by three days");
        assert!(!reminder.is_due(start + 23 * hour));
        assert!(reminder.is_due(start + 24 * hour));
    }
}
