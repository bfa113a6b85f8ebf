//! Memory for heads, used again: a head with a token in it is larger than what an allocator gives
//! out quickly, and every request has two.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

use crate::hint::seldom;

/// Buffers that a thread keeps of each size.
const MOST: usize = 64;
/// The memory that a small one has.
const SMALL: usize = 512;
/// The least and the most that a large one has.
const LARGE: usize = 1024;
const LARGEST: usize = 4 * 1024;

/// What a thread keeps. Small ones hold the heads of requests for as long as these are answered, large
/// ones what is written or read at once; by themselves, the latter are few, and still in the
/// processor's cache when they are used again.
struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { small: Vec::new(), large: Vec::new() }) };
}

/// An empty buffer with room for at least `room` bytes.
pub fn take(room: usize) -> Vec<u8> {
    let is_small = room <= SMALL;
    let kept = SPARE.with_borrow_mut(|spare| if is_small { spare.small.pop() } else { spare.large.pop() });
    match kept {
        Some(buffer) if buffer.capacity() >= room => buffer,
        _ => {
            seldom();
            Vec::with_capacity(if is_small { SMALL } else { room.max(LARGE) })
        }
    }
}

/// Takes a buffer back that is no longer needed; what is in it is forgotten.
pub fn give(mut buffer: Vec<u8>) {
    let capacity = buffer.capacity();
    if !(SMALL..=LARGEST).contains(&capacity) {
        return;
    }
    // A thread that is at its end keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        let kept = if capacity < LARGE { &mut spare.small } else { &mut spare.large };
        if kept.len() < MOST {
            buffer.clear();
            kept.push(buffer);
        }
    });
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
            let large = take(SMALL + 1);
            assert_ne!(large.as_ptr(), at, "it is a small one");
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
                give(Vec::with_capacity(SMALL));
                give(Vec::with_capacity(LARGEST + 1));
                give(Vec::with_capacity(SMALL - 1));
            }
            assert_eq!(copy(&[7; LARGEST + 1]), [7; LARGEST + 1][..]);
            SPARE.with_borrow(|spare| {
                assert_eq!((spare.small.len(), spare.large.len()), (MOST, MOST));
                assert!(spare.small.iter().all(|buffer| buffer.capacity() == SMALL));
                assert!(spare.large.iter().all(|buffer| buffer.capacity() == LARGEST));
            });
        })
        .join()
        .unwrap();
    }

    #[test]
    fn there_is_room_for_what_was_asked_for() {
        std::thread::spawn(|| {
            for room in [0, 1, SMALL, SMALL + 1, LARGE, LARGE + 1, LARGEST, LARGEST + 1] {
                // One of each size is there, and too small for some.
                give(Vec::with_capacity(SMALL));
                give(Vec::with_capacity(LARGE));
                let buffer = take(room);
                assert!(buffer.is_empty() && buffer.capacity() >= room, "{room}");
            }
        })
        .join()
        .unwrap();
    }
}
