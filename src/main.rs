//! The binary: runs the command and turns its outcome into an exit code.

use std::process::ExitCode;

/// Many small, short-lived allocations on a few threads are what it is good at. It is built not to
/// ask for huge pages (`no_thp`): a heap of 2 MB would take 12.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    maskinporten_proxy::cli::main()
}
