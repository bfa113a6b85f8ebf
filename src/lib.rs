//! maskinporten-proxy: a proxy that holds a business certificate's key, obtains and refreshes
//! Maskinporten tokens, and puts them on every request that passes.
//!
//! The modules stand in floor order: each imports only from floors above it in this list, never
//! a sibling on its own floor, and submodules belong to their parent. `tests/layering.rs` holds
//! the house to it; `docs/ARCHITECTURE.md` walks through it. The library exists for the binary,
//! the tests and the benches; it promises no stable API.

// 0: words to the compiler
pub mod hint;

// 1: vocabulary
pub mod authority;
pub mod clock;
pub mod message;
pub mod secret;

// 2: what the user configured
pub mod config;

// 3: pure parts
pub mod http;
pub mod keys;
pub mod net;
pub mod telemetry;

// 4: the trades
pub mod ca;
pub mod guard;
pub mod oauth;
pub mod routing;
pub mod sandbox;
pub mod upstream;

// 5–8: the state, the spine and its surroundings, the app, the command line
pub mod admin;
pub mod app;
pub mod cli;
pub mod proxy;
pub mod state;
