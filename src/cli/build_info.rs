//! Version and build, as `--version` and the metrics show them.

use std::sync::LazyLock;

/// The version of the crate.
pub const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The commit, where the build was told of it: releases and images are.
pub const COMMIT: &str = match option_env!("MASKINPORTEN_PROXY_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The end of the target's name, which tells a static Linux build from one for glibc.
const ABI: &str = if cfg!(target_env = "musl") {
    "-musl"
} else if cfg!(target_env = "gnu") {
    "-gnu"
} else if cfg!(target_env = "msvc") {
    "-msvc"
} else {
    ""
};

/// Version, commit, target and what the build is made with.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{SHORT}\ncommit: {COMMIT}\ntarget: {}-{}{ABI}\nprofile: {}\ntls: rustls with aws-lc-rs",
        std::env::consts::ARCH,
        std::env::consts::OS,
        if cfg!(debug_assertions) { "debug" } else { "release" },
    )
});
