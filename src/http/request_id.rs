//! Request ids: what joins an error, a log line and a row of the status page.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A request's id. It is made without randomness or allocation, is unique in the process, and
/// all but surely unique among processes. It is no secret and nothing may rest on its being hard
/// to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    process: u32,
    number: u64,
}

/// Gives requests their ids: a random number for the process, then a running one.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids of this process.
    pub fn random() -> Self {
        let (process, ..) = uuid::Uuid::new_v4().as_fields();
        Self::new(process)
    }

    pub fn new(process: u32) -> Self {
        Self { process, next: AtomicU64::new(1) }
    }

    pub fn issue(&self) -> RequestId {
        // Relaxed: only distinctness matters, not the order seen by other threads.
        RequestId { process: self.process, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:06x}", self.process, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_process_share_its_number_and_differ() {
        let ids = RequestIds::new(0x00c0_ffee);
        assert_eq!(ids.issue().to_string(), "00c0ffee-000001");
        assert_eq!(ids.issue().to_string(), "00c0ffee-000002");
        assert_ne!(RequestIds::random().issue(), RequestIds::random().issue());
    }

    #[test]
    fn threads_never_get_the_same_id() {
        let ids = RequestIds::new(1);
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let issue = || scope.spawn(|| (0..1000).map(|_| ids.issue()).collect::<Vec<_>>());
            let threads = [issue(), issue(), issue()];
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3000);
    }
}
