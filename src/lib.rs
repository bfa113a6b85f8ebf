//! maskinporten-proxy: a proxy that holds a business certificate's key, obtains and refreshes
//! Maskinporten tokens, and puts them on every request that passes.

mod authority;
pub mod config;
mod secret;
