//! Integration tests: the real app on free ports, a file for each area.

// Many of them send signals or use sockets in the file system.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

mod admin;
mod canary;
mod drain;
mod forward;
mod guards;
mod http1;
mod http2;
mod identities;
mod inbound;
mod logs;
mod main_job;
mod problems;
mod relay;
mod reload;
mod smoke;
mod smuggling;
mod streaming;
mod tokens;
mod upgrade;
