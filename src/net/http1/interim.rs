//! Interim responses, from whoever gets them to the connection that sends them.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use http::StatusCode;

use crate::message::Fields;

/// Interim responses that may wait, in bytes.
const MAX_WAITING: usize = 64 * 1024;

/// What waits on one connection.
#[derive(Debug, Default)]
pub(in crate::net) struct Waiting {
    /// Requests whose responses have begun.
    answered: Cell<u32>,
    bytes: RefCell<Vec<u8>>,
    /// The connection's task.
    waker: RefCell<Option<Waker>>,
}

impl Waiting {
    /// Leaves an interim response for the request with `index` to be sent; too late, or too much,
    /// and it is dropped.
    pub(in crate::net) fn push(&self, index: u32, status: StatusCode, fields: &Fields) {
        if self.answered.get() > index {
            return;
        }
        let head = head(status, fields);
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + head.len() > MAX_WAITING {
            return;
        }
        bytes.extend_from_slice(&head);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whom to wake when there is one.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    /// What is to be sent now.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.borrow_mut();
        (!bytes.is_empty()).then(|| std::mem::take(&mut *bytes))
    }

    /// The response with `index` has begun.
    pub(super) fn answered(&self, index: u32) {
        self.answered.set(index + 1);
    }
}

/// The head of an interim response, as HTTP/1.1 writes it.
fn head(status: StatusCode, fields: &Fields) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    fields.write(&mut bytes, |_, _| true);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
