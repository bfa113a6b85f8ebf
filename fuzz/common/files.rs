//! Loads a configuration file as the program does, from a folder of the process's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use maskinporten_proxy::config::{self, LoadRequest, Overrides};

/// In memory where the system has such a place: it is written for every run.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("maskinporten-proxy-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

pub fn load(extension: &str, bytes: &[u8]) {
    // Files that a mutation names are not to be opened: devices never end.
    if bytes.windows(5).any(|window| window == b"/dev/") || bytes.windows(6).any(|window| window == b"/proc/") {
        return;
    }
    let file = FOLDER.join("proxy").with_extension(extension);
    std::fs::write(&file, bytes).expect("a written file");
    let request = LoadRequest {
        files: vec![file],
        flags: Overrides { upstream: Some("http://127.0.0.1:1".to_owned()), ..Overrides::default() },
        env: BTreeMap::new(),
        cwd: FOLDER.clone(),
    };
    match config::load(&request) {
        Ok(loaded) => {
            let _ = format!("{:?}", loaded.config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
