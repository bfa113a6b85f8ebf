//! [`Live`]: the state in force, and how the last attempt to replace it went.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use super::State;

/// The state in force. Reading it takes no lock.
#[derive(Debug)]
pub struct Live {
    state: ArcSwap<State>,
    /// Why the newest configuration is not in force.
    error: ArcSwapOption<String>,
    /// What changed and takes effect with the next start alone.
    needs_restart: ArcSwap<Vec<String>>,
}

impl Live {
    pub fn new(state: State) -> Self {
        Self {
            state: ArcSwap::from_pointee(state),
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
