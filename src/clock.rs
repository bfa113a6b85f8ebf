//! Time as an argument: the wall clock and the monotonic one, real or under a test's control.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// A source of both clocks. Sleeping is tokio's business (`tokio::time::pause` in tests); this
/// is for judging lives and stamping grants.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

#[derive(Debug)]
struct Manual {
    now: Mutex<(SystemTime, Instant)>,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(None)
    }

    /// Clocks that stand still until they are moved.
    pub fn manual(wall: SystemTime) -> Self {
        Self(Some(Arc::new(Manual { now: Mutex::new((wall, Instant::now())) })))
    }

    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(manual) => manual.read().0,
        }
    }

    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(manual) => manual.read().1,
        }
    }

    /// Moves both clocks of a manual clock, as time does. No effect on the machine's.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            let mut now = manual.lock();
            *now = (now.0 + by, now.1 + by);
        }
    }

    /// Sets the wall clock alone, as an administrator, NTP or a resumed laptop does.
    pub fn set_wall(&self, to: SystemTime) {
        if let Some(manual) = &self.0 {
            manual.lock().0 = to;
        }
    }
}

impl Manual {
    fn lock(&self) -> std::sync::MutexGuard<'_, (SystemTime, Instant)> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read(&self) -> (SystemTime, Instant) {
        *self.lock()
    }
}
