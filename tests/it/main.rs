//! Integration tests: the real app on free ports, a file for each area.

mod support;

mod admin;
mod canary;
mod forward;
mod guards;
mod http1;
mod identities;
mod inbound;
#[cfg(unix)]
mod logs;
mod problems;
mod reload;
mod smoke;
mod tokens;
