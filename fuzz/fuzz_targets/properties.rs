//! A `.properties` file of any content: a configuration or a list of problems, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../common/files.rs"]
mod files;

fuzz_target!(|bytes: &[u8]| files::load("properties", bytes));
