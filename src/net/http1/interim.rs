//! Interim responses, from whoever gets them to the connection that sends them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use http::{HeaderMap, StatusCode};

use crate::net::field;

/// Interim responses that may wait, in bytes.
const MAX_WAITING: usize = 64 * 1024;

/// What waits on one connection. Nobody contends for the lock; it is there since the closures
/// that fill this must be able to leave the thread.
#[derive(Debug, Default)]
pub(in crate::net) struct Waiting {
    /// Requests whose responses have begun.
    answered: AtomicU32,
    some: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    /// The connection's task.
    waker: Option<Waker>,
}

impl Waiting {
    /// Leaves an interim response for the request with `index` to be sent; too late, or too much,
    /// and it is dropped.
    pub(in crate::net) fn push(&self, index: u32, status: StatusCode, headers: &HeaderMap) {
        if self.answered.load(Ordering::Relaxed) > index {
            return;
        }
        let head = head(status, headers);
        let mut inner = self.inner();
        if inner.bytes.len() + head.len() > MAX_WAITING {
            return;
        }
        inner.bytes.extend_from_slice(&head);
        self.some.store(true, Ordering::Relaxed);
        if let Some(waker) = &inner.waker {
            waker.wake_by_ref();
        }
    }

    /// Whom to wake when there is one.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.inner().waker = Some(waker.clone());
    }

    /// What is to be sent now.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        // One thread alone writes and reads it, so no order needs to be kept.
        if !self.some.load(Ordering::Relaxed) {
            return None;
        }
        self.some.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut self.inner().bytes))
    }

    /// The response with `index` has begun.
    pub(super) fn answered(&self, index: u32) {
        self.answered.store(index + 1, Ordering::Relaxed);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of an interim response, as HTTP/1.1 writes it.
fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in headers {
        field::write(&mut bytes, name.as_str(), value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
