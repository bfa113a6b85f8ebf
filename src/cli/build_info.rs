//! Version and build, as `--version` and the metrics show them.

use std::sync::LazyLock;

/// The version of the crate.
pub const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The commit, where the build was told of it.
pub const COMMIT: &str = match option_env!("MASKINPORTEN_PROXY_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Version, commit, target and what the build is made with.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{SHORT}\ncommit: {COMMIT}\ntarget: {}-{}\nprofile: {}\ntls: rustls with aws-lc-rs",
        std::env::consts::ARCH,
        std::env::consts::OS,
        if cfg!(debug_assertions) { "debug" } else { "release" },
    )
});
