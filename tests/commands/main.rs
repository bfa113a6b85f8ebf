//! The real binary, command by command: exit codes, what is printed where, and what is written.

#![cfg(unix)]

#[allow(unused_imports, reason = "the support of the other tests, of which these use a part")]
#[path = "../it/support/mod.rs"]
mod support;

mod ca;
mod init;
mod postman;
mod program;
mod run;
mod show;
mod texts;
