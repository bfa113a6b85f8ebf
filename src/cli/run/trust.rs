//! The certificates that the command is to trust: the platform's own, and the root of the local
//! CA, which it will be shown inside intercepted tunnels.
//!
//! Most runtimes have a variable that *replaces* what they trust, so it must name a file with all
//! of it. Nothing is installed, and the file goes when the command has ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Variables whose file replaces a runtime's roots: OpenSSL and what follows its lead (Go, Rust,
/// Ruby, .NET on Linux), Python's requests, curl, git, the AWS tools.
const REPLACING: [&str; 5] =
    ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"];

/// Variables whose file adds to a runtime's roots: Node, Deno.
const ADDING: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// The file, in a folder of its own; both go when this is dropped.
pub(super) struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    /// Puts together what is trusted here, what the variables name already, and `root`.
    pub(super) fn write(root: PathBuf) -> io::Result<Self> {
        let named = REPLACING.iter().chain(&ADDING).filter_map(std::env::var_os).map(PathBuf::from);
        // A file that a variable names in vain is not our business; the root is.
        let mut text: Vec<u8> = fs::read(&root)?;
        for path in named.collect::<BTreeSet<_>>() {
            if let Ok(more) = fs::read(path) {
                text.push(b'\n');
                text.extend(more);
            }
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        for certificate in rustls_native_certs::load_native_certs().certs {
            text.push_str("\n-----BEGIN CERTIFICATE-----\n");
            let body = STANDARD.encode(&certificate);
            for line in body.as_bytes().chunks(64) {
                text.extend(line.iter().copied().map(char::from));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("maskinporten-proxy-run-{}-{}", std::process::id(), since.as_nanos());
        let bundle = Self { folder: std::env::temp_dir().join(name) };
        make_private(&bundle.folder)?;
        File::create_new(bundle.path())?.write_all(text.as_bytes())?;
        Ok(bundle)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (String, OsString)> {
        REPLACING.iter().chain(&ADDING).map(|name| ((*name).to_owned(), self.path().into()))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("trusted.pem")
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What is left behind holds no secret.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}
