//! The real binary, command by command: exit codes, what is printed where, and what is written.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(unix)]

#[path = "../it/support/mod.rs"]
mod support;

mod ca;
mod init;
mod postman;
mod program;
mod run;
mod show;
mod texts;
