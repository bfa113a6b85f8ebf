//! Memory for heads, used again: a head with a token in it is larger than what an allocator gives
//! out quickly, and every request has two.

use std::cell::RefCell;

/// Buffers that a thread keeps, and the memory that one of them may have.
const MOST: usize = 16;
const LARGEST: usize = 8 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for at least `room` bytes.
pub fn take(room: usize) -> Vec<u8> {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(room);
    buffer
}

/// Takes a buffer back that is no longer needed; what is in it is forgotten.
pub fn give(mut buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST {
                buffer.clear();
                spare.push(buffer);
            }
        });
    }
}
