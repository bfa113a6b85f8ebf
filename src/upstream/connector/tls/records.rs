//! The records that come to a [`TlsStream`](super::TlsStream), and those that go.

use std::io;

/// What one system call may read, in bytes: some records of the longest, and more than the longest
/// message of a handshake (64 KiB), which stands here until all of it has come.
const READ_AHEAD: usize = 128 * 1024;
/// The longest record as it comes (RFC 5246 §6.2.3, RFC 8446 §5.2), its header included.
const MAX_RECORD: usize = 5 + 16 * 1024 + 2048;
/// What is kept for the records that go next.
const KEPT: usize = 32 * 1024;

/// Where records are read to; those that have not been looked at stand in `at..end`.
pub(super) struct Incoming {
    bytes: Box<[u8]>,
    at: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; READ_AHEAD].into_boxed_slice(), at: 0, end: 0 }
    }

    pub(super) fn records(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..self.end]
    }

    /// So much at the front was looked at.
    pub(super) fn discard(&mut self, count: usize) {
        self.at += count;
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        }
    }

    /// Where more may be read to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < MAX_RECORD && self.at > 0 {
            self.bytes.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        &mut self.bytes[self.end..]
    }

    /// So much was read.
    pub(super) fn came(&mut self, count: usize) {
        self.end += count;
    }
}

/// Records on their way out, which stand in `sent..end`.
#[derive(Default)]
pub(super) struct Outgoing {
    /// What is behind them was used before: it need not be made anew.
    bytes: Vec<u8>,
    sent: usize,
    end: usize,
}

impl Outgoing {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..self.end]
    }

    /// Has `write` put something behind them, which needs some `room`; where that is not enough, it
    /// tells how much is.
    pub(super) fn put(
        &mut self,
        mut room: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, io::Result<usize>>,
    ) -> io::Result<()> {
        loop {
            if self.bytes.len() < self.end + room {
                self.bytes.resize(self.end + room, 0);
            }
            match write(&mut self.bytes[self.end..]) {
                Ok(written) => {
                    self.end += written;
                    return Ok(());
                }
                Err(needed) => room = needed?.max(room + 1),
            }
        }
    }

    /// So much has gone. Where that is all, what only a busy connection needs is freed.
    pub(super) fn went(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.end {
            (self.sent, self.end) = (0, 0);
            if self.bytes.len() > KEPT {
                self.bytes = Vec::new();
            }
        }
    }

    /// The memory that they have, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }
}
