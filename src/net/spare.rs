//! Memory for heads, used again: a head with a token in it is larger than what an allocator gives
//! out quickly, and every request has two.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

use crate::hint::seldom;

/// Buffers that a thread keeps, and the memory that one of them has.
const MOST: usize = 64;
const SMALLEST: usize = 1024;
const LARGEST: usize = 4 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for at least `room` bytes.
pub fn take(room: usize) -> Vec<u8> {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.capacity() < room {
        seldom();
        buffer = Vec::with_capacity(room.max(SMALLEST));
    }
    buffer
}

/// Takes a buffer back that is no longer needed; what is in it is forgotten.
pub fn give(mut buffer: Vec<u8>) {
    if (SMALLEST..=LARGEST).contains(&buffer.capacity()) {
        // A thread that is at its end keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST {
                buffer.clear();
                spare.push(buffer);
            }
        });
    }
}

/// A copy of `bytes`, whose memory is used again, by the thread of the last who shares it, when that
/// one has dropped it.
pub fn copy(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() || bytes.len() > LARGEST {
        seldom();
        return Bytes::copy_from_slice(bytes);
    }
    let mut buffer = take(bytes.len());
    buffer.extend_from_slice(bytes);
    Bytes::from_owner(Lent(buffer))
}

/// Puts `more` behind `bytes`.
pub fn append(bytes: &mut Bytes, more: &[u8]) {
    if bytes.is_empty() {
        *bytes = copy(more);
    } else if !more.is_empty() {
        seldom();
        let mut all = BytesMut::from(std::mem::take(bytes));
        all.extend_from_slice(more);
        *bytes = all.freeze();
    }
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_nobody_shares_it_any_more() {
        std::thread::spawn(|| {
            let copied = copy(b"a head");
            let part = copied.slice(2..);
            let at = copied.as_ptr();
            drop(copied);
            let other = take(1);
            assert_ne!(other.as_ptr(), at, "it is shared");
            assert_eq!(part, "head");
            drop(part);
            let again = take(6);
            assert_eq!((again.as_ptr(), again.len()), (at, 0));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_large_or_too_much_is_not_kept() {
        std::thread::spawn(|| {
            for _ in 0..2 * MOST {
                give(Vec::with_capacity(LARGEST));
                give(Vec::with_capacity(LARGEST + 1));
            }
            assert_eq!(copy(&[7; LARGEST + 1]), [7; LARGEST + 1][..]);
            SPARE.with_borrow(|spare| {
                assert_eq!(spare.len(), MOST);
                assert!(spare.iter().all(|buffer| buffer.capacity() == LARGEST));
            });
        })
        .join()
        .unwrap();
    }
}
