//! [`Live`]: the state in force, and how the last attempt to replace it went.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use super::State;
use crate::hint::seldom;

/// The state in force, as a thread remembers it: to look whether it still is costs less than to get
/// it. It keeps none in memory.
#[derive(Debug)]
pub struct Remembered {
    live: Arc<Live>,
    state: Memory<State>,
}

/// The state in force. Reading it takes no lock.
#[derive(Debug)]
pub struct Live {
    state: ArcSwap<State>,
    /// Counts the states that have been put in force.
    generation: AtomicU64,
    /// Why the newest configuration is not in force.
    error: ArcSwapOption<String>,
    /// What changed and takes effect with the next start alone.
    needs_restart: ArcSwap<Vec<String>>,
}

impl Live {
    pub fn new(state: State) -> Self {
        Self {
            state: ArcSwap::from_pointee(state),
            generation: AtomicU64::new(0),
            error: ArcSwapOption::empty(),
            needs_restart: ArcSwap::default(),
        }
    }

    /// The state in force, for a look.
    pub fn load(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// The state in force, to be held.
    pub fn load_full(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Puts a state in force for new requests.
    pub fn store(&self, state: State, needs_restart: Vec<String>) {
        self.error.store(None);
        self.needs_restart.store(Arc::new(needs_restart));
        self.state.store(Arc::new(state));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The newest configuration is not in force, and why.
    pub fn failed(&self, error: String) {
        self.error.store(Some(Arc::new(error)));
    }

    pub fn error(&self) -> Option<Arc<String>> {
        self.error.load_full()
    }

    pub fn needs_restart(&self) -> Arc<Vec<String>> {
        self.needs_restart.load_full()
    }
}

impl Remembered {
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, state: Memory::default() }
    }

    /// The state in force, to be held.
    #[inline]
    pub fn load_full(&self) -> Arc<State> {
        // In this order: a state that comes in between is remembered as one of before, and looked up
        // anew the next time.
        let generation = self.live.generation.load(Ordering::Acquire);
        self.state.get(generation, || self.live.load_full())
    }
}

/// What was there last, with the generation that it is of.
#[derive(Debug)]
struct Memory<T>(RefCell<(u64, Weak<T>)>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Memory<T> {
    /// What is remembered, where that is of this generation and still somebody's; otherwise what
    /// `find` finds.
    #[inline]
    fn get(&self, generation: u64, find: impl FnOnce() -> Arc<T>) -> Arc<T> {
        {
            let (known, last) = &*self.0.borrow();
            if *known == generation
                && let Some(last) = last.upgrade()
            {
                return last;
            }
        }
        seldom();
        let found = find();
        *self.0.borrow_mut() = (generation, Arc::downgrade(&found));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_of_its_generation_and_not_kept() {
        let memory = Memory::default();
        let never = || unreachable!("it is remembered");
        let (first, second) = (Arc::new("first"), Arc::new("second"));
        assert_eq!(*memory.get(0, || Arc::clone(&first)), "first");
        assert_eq!(*memory.get(0, never), "first");
        assert_eq!(*memory.get(1, || Arc::clone(&second)), "second");
        assert_eq!(*memory.get(1, never), "second");
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
        drop(second);
        assert_eq!(*memory.get(1, || Arc::clone(&first)), "first");
    }
}
