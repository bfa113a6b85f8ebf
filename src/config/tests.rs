//! The configuration as a whole: fixtures, layers, what is shown, what is documented.

use std::path::{Path, PathBuf};

use super::*;

mod fixtures;
mod layers;
mod shown;

const MINIMAL: &str = r#"
[clients.test]
environment = "test"
client_id = "id"
key.file = "key.p12"

[[routes]]
name = "api"
upstream = "https://api.example.no"
scopes = ["a:b"]
"#;

/// A folder of files, and what is loaded from it.
struct Setup {
    folder: tempfile::TempDir,
    request: LoadRequest,
}

impl Setup {
    /// With nothing configured.
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let request = LoadRequest { cwd: folder.path().to_owned(), ..LoadRequest::default() };
        Self { folder, request }
    }

    fn minimal() -> Self {
        Self::empty().file("proxy.toml", MINIMAL)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.request.files.push(name.into());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.request.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flags(mut self, flags: Overrides) -> Self {
        self.request.flags = flags;
        self
    }

    fn loaded(&self) -> Loaded {
        load(&self.request).unwrap_or_else(|error| panic!("{error}"))
    }

    fn config(&self) -> Config {
        self.loaded().config
    }

    fn error(&self) -> String {
        match load(&self.request) {
            Ok(_) => panic!("it was loaded"),
            Err(error) => error.to_string(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with a file of the repository; `BLESS=1` writes it instead, to be reviewed as a
/// change like any other.
fn assert_matches_file(actual: &str, path: &Path) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}; write it with BLESS=1", path.display()));
    assert_eq!(actual, expected.replace("\r\n", "\n"), "{}", path.display());
}
