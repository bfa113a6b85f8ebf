//! What a connection's gate and its service tell each other.
//!
//! Both live on one thread, but hyper's upgrades want a stream that could leave it: hence the
//! atomics, which nobody contends for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Waker;

use http::{HeaderMap, StatusCode};

use super::Refusal;

/// Interim responses that may wait, in bytes.
const MAX_INTERIM: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The index of the request that is a stand-in, and what it stands for.
    refusal: OnceLock<(u32, Refusal)>,
    /// Requests that the service was called with.
    calls: AtomicU32,
    /// Requests that the service has answered; their bodies may be under way.
    answers: AtomicU32,
    /// Responses whose bodies have ended, too.
    ended: AtomicU32,
    switched: AtomicBool,
    close_delimits: AtomicBool,
    failed: AtomicBool,
    park: AtomicBool,
    has_interim: AtomicBool,
    interim: Mutex<Interim>,
}

#[derive(Debug, Default)]
struct Interim {
    bytes: Vec<u8>,
    /// The connection's task.
    waker: Option<Waker>,
}

impl Shared {
    /// The request after `passed` others is refused.
    pub(super) fn refuse(&self, passed: u32, refusal: Refusal) {
        // A connection refuses once: nothing passes after it.
        let _ = self.refusal.set((passed, refusal));
    }

    /// Counts a call of the service; its index, and the refusal that it is to answer.
    pub(crate) fn call(&self) -> (u32, Option<Refusal>) {
        let index = self.calls.fetch_add(1, Ordering::Relaxed);
        let refusal = self.refusal.get().filter(|(at, _)| *at == index).map(|(_, refusal)| *refusal);
        (index, refusal)
    }

    /// The service has answered; `switches` where the connection is another protocol's from now.
    pub(crate) fn answer(&self, switches: bool) {
        if switches {
            self.switched.store(true, Ordering::Release);
        }
        self.answers.fetch_add(1, Ordering::Release);
    }

    /// A response's body is done with.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Release);
    }

    pub(super) fn has_answered(&self, index: u32) -> bool {
        self.answers.load(Ordering::Acquire) > index
    }

    /// A response on this connection may end with the connection and nothing else.
    pub(crate) fn note_close_delimits(&self) {
        self.close_delimits.store(true, Ordering::Relaxed);
    }

    /// A response's body has broken off.
    pub(crate) fn note_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether a plain close in the middle of a response could be taken for its end.
    pub(crate) fn needs_abort(&self) -> bool {
        self.close_delimits.load(Ordering::Relaxed) && (self.failed.load(Ordering::Relaxed) || self.is_busy())
    }

    pub(super) fn has_switched(&self) -> bool {
        self.switched.load(Ordering::Acquire)
    }

    /// Whether a request or its response is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.load(Ordering::Relaxed) != self.ended.load(Ordering::Acquire)
    }

    pub(super) fn ask_to_park(&self) {
        self.park.store(true, Ordering::Relaxed);
    }

    pub(crate) fn takes_parking(&self) -> bool {
        self.park.swap(false, Ordering::Relaxed)
    }

    /// Leaves an interim response for the request with `index` to be written; too late, or too
    /// much, and it is dropped.
    pub(crate) fn push_interim(&self, index: u32, bytes: &[u8]) {
        if self.has_answered(index) {
            return;
        }
        let mut interim = self.interim.lock().unwrap_or_else(PoisonError::into_inner);
        if interim.bytes.len() + bytes.len() > MAX_INTERIM {
            return;
        }
        interim.bytes.extend_from_slice(bytes);
        self.has_interim.store(true, Ordering::Release);
        if let Some(waker) = &interim.waker {
            waker.wake_by_ref();
        }
    }

    /// Whom to wake when there is an interim response to write.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.interim.lock().unwrap_or_else(PoisonError::into_inner).waker = Some(waker.clone());
    }

    /// Whether an interim response waits, and the response proper has not begun.
    pub(super) fn interim_is_timely(&self) -> bool {
        self.has_interim.load(Ordering::Acquire)
            && self.answers.load(Ordering::Acquire) < self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn take_interim(&self) -> Option<Vec<u8>> {
        if !self.has_interim.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut interim = self.interim.lock().unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut interim.bytes))
    }

    pub(super) fn put_interim_back(&self, mut rest: Vec<u8>) {
        let mut interim = self.interim.lock().unwrap_or_else(PoisonError::into_inner);
        rest.extend_from_slice(&interim.bytes);
        interim.bytes = rest;
        self.has_interim.store(true, Ordering::Release);
    }
}

/// The head of an interim response, as HTTP/1.1 writes it.
pub(crate) fn interim_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
