//! The CA's folder: three files, written as a whole or not at all.
//!
//! The folder has mode 0700 and the key 0600 (on Windows they have the access rights of the
//! folder they are made in). Nothing but these three files is ever deleted.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::CaError;
use super::certificate::{Authorities, hex, random};

use self::platform::{exchange, new_file, private_folder, sync_parent};

pub(super) use self::platform::loose_permissions;

mod platform;

pub(super) const ROOT: &str = "root.pem";
pub(super) const INTERMEDIATE: &str = "intermediate.pem";
pub(super) const KEY: &str = "intermediate.key";

/// A CA as it stands on disk.
pub(super) struct Stored {
    /// Absolute.
    pub(super) dir: PathBuf,
    pub(super) root: CertificateDer<'static>,
    pub(super) intermediate: CertificateDer<'static>,
    /// The intermediate's key in PKCS#8.
    pub(super) key: Secret<Vec<u8>>,
}

/// Reads the three files; nothing is judged but that they are PEM.
pub(super) fn read(dir: &Path) -> Result<Stored, CaError> {
    let dir = absolute(dir)?;
    if matches!(Content::of(&dir)?, Content::Absent | Content::Empty) {
        return Err(CaError::Missing { dir });
    }
    let certificate = |name| {
        let path = dir.join(name);
        CertificateDer::from_pem_slice(&read_file(&path)?)
            .map_err(|_| CaError::Damaged { path, what: "holds no certificate in PEM" })
    };
    let key_path = dir.join(KEY);
    let key = PrivatePkcs8KeyDer::from_pem_slice(&read_file(&key_path)?)
        .map_err(|_| CaError::Damaged { path: key_path, what: "holds no PKCS#8 key in PEM" })?;
    Ok(Stored {
        root: certificate(ROOT)?,
        intermediate: certificate(INTERMEDIATE)?,
        key: Secret::new(key.secret_pkcs8_der().to_vec()),
        dir,
    })
}

/// A folder that was found fit to take a new CA.
pub(super) struct Place {
    dir: PathBuf,
    content: Content,
}

impl Place {
    /// # Errors
    ///
    /// [`CaError::Exists`] and [`CaError::Foreign`], as `init` says.
    pub(super) fn prepare(dir: &Path, force: bool) -> Result<Self, CaError> {
        let dir = absolute(dir)?;
        let content = Content::of(&dir)?;
        match content {
            Content::Ca { .. } if !force => Err(CaError::Exists { dir }),
            Content::Ca { foreign: Some(entry) } | Content::Foreign(entry) => {
                Err(CaError::Foreign { dir, entry })
            }
            Content::Absent | Content::Empty | Content::Ca { foreign: None } => Ok(Self { dir, content }),
        }
    }

    pub(super) fn holds_ca(&self) -> bool {
        matches!(self.content, Content::Ca { .. })
    }

    /// Puts `authorities` here, in place of what was there.
    pub(super) fn fill(self, authorities: &Authorities) -> Result<(), CaError> {
        let staging = Staging::beside(&self.dir)?;
        staging.write(ROOT, authorities.root.pem().as_bytes(), 0o644)?;
        staging.write(INTERMEDIATE, authorities.intermediate.pem().as_bytes(), 0o644)?;
        staging.write(KEY, pem("PRIVATE KEY", authorities.key.expose()).as_bytes(), 0o600)?;
        if self.holds_ca() { staging.replace(&self.dir) } else { staging.occupy(&self.dir) }
    }
}

/// What a folder holds.
enum Content {
    Absent,
    Empty,
    /// At least one file of a CA, and perhaps something else (its name).
    Ca {
        foreign: Option<String>,
    },
    Foreign(String),
}

impl Content {
    fn of(dir: &Path) -> Result<Self, CaError> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) => return Err(failed("read", dir)(error)),
        };
        let (mut ours, mut foreign) = (false, None);
        for entry in entries {
            let name = entry.map_err(failed("read", dir))?.file_name();
            if [ROOT, INTERMEDIATE, KEY].iter().any(|file| name == *file) {
                ours = true;
            } else {
                foreign = Some(name.to_string_lossy().into_owned());
            }
        }
        Ok(match (ours, foreign) {
            (true, foreign) => Self::Ca { foreign },
            (false, Some(entry)) => Self::Foreign(entry),
            (false, None) => Self::Empty,
        })
    }
}

/// A folder in the making, beside the one it is to become. Dropped, it takes its files along.
struct Staging(PathBuf);

impl Staging {
    fn beside(dir: &Path) -> Result<Self, CaError> {
        let parent = dir.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
        let path = sibling(dir, "new")?;
        private_folder().create(&path).map_err(failed("create", &path))?;
        Ok(Self(path))
    }

    /// Makes a file that must not exist yet (`O_EXCL`), with its final mode from the beginning.
    fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), CaError> {
        let path = self.0.join(name);
        let mut file = new_file(mode).open(&path).map_err(failed("create", &path))?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", &path))
    }

    /// Becomes `dir`, which is absent or empty. Where another process was faster, that one's CA
    /// stays.
    fn occupy(self, dir: &Path) -> Result<(), CaError> {
        // Windows renames onto nothing but nothing.
        #[cfg(windows)]
        let _ = fs::remove_dir(dir);
        match fs::rename(&self.0, dir) {
            Ok(()) => {
                sync_parent(dir);
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(CaError::Exists { dir: dir.to_owned() })
            }
            Err(error) => Err(failed("create", dir)(error)),
        }
    }

    /// Changes places with `dir`; the old CA goes when `self` is dropped.
    fn replace(self, dir: &Path) -> Result<(), CaError> {
        if exchange(&self.0, dir).is_err() {
            self.replace_in_steps(dir)?;
        }
        sync_parent(dir);
        Ok(())
    }

    /// For file systems (and for Windows) that do not exchange in one step: there is no CA for the
    /// moment between these two.
    fn replace_in_steps(&self, dir: &Path) -> Result<(), CaError> {
        let old = sibling(dir, "old")?;
        fs::rename(dir, &old).map_err(failed("replace", dir))?;
        if let Err(error) = fs::rename(&self.0, dir) {
            // Best effort: what is reported is why the new one did not get there.
            let _ = fs::rename(&old, dir);
            return Err(failed("replace", dir)(error));
        }
        drop(Self(old));
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The path may be gone, having become the CA's own: then there is nothing to remove.
        for name in [KEY, INTERMEDIATE, ROOT] {
            let _ = fs::remove_file(self.0.join(name));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// `.name.<random>.<kind>` in the same folder, so that a rename stays within a file system.
fn sibling(dir: &Path, kind: &str) -> Result<PathBuf, CaError> {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(format!(".{}.{kind}", hex(&random::<8>()?)));
    Ok(dir.with_file_name(name))
}

/// Absolute, and through a symbolic link to where the folder really is, so that a rename replaces
/// the folder and not the link.
fn absolute(dir: &Path) -> Result<PathBuf, CaError> {
    if fs::symlink_metadata(dir).is_ok_and(|metadata| metadata.is_symlink()) {
        return fs::canonicalize(dir).map_err(failed("follow", dir));
    }
    std::path::absolute(dir).map_err(failed("resolve", dir))
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CaError> {
    fs::read(path).map(Zeroizing::new).map_err(failed("read", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CaError {
    let path = path.to_owned();
    move |source| CaError::Io { action, path, source }
}

/// RFC 7468 §3.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // With all room reserved, no copy of the key is left behind in a buffer that was outgrown.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 64));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a CA's files, all with this content.
    fn folder(parent: &Path, content: &str) -> PathBuf {
        let dir = parent.join(content);
        fs::create_dir(&dir).unwrap();
        for name in [ROOT, INTERMEDIATE, KEY] {
            fs::write(dir.join(name), content).unwrap();
        }
        dir
    }

    #[test]
    fn without_an_exchange_two_renames_do() {
        let temp = tempfile::tempdir().unwrap();
        let dir = folder(temp.path(), "old");
        Staging(folder(temp.path(), "new")).replace_in_steps(&dir).unwrap();
        assert_eq!(fs::read_to_string(dir.join(KEY)).unwrap(), "new");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "a folder was left behind");
    }

    #[test]
    fn where_the_second_rename_fails_the_old_one_comes_back() {
        let temp = tempfile::tempdir().unwrap();
        let dir = folder(temp.path(), "old");
        let error = Staging(temp.path().join("gone")).replace_in_steps(&dir).unwrap_err();
        assert!(matches!(error, CaError::Io { .. }), "{error}");
        assert_eq!(fs::read_to_string(dir.join(KEY)).unwrap(), "old");
    }

    #[test]
    fn a_staged_file_is_never_written_over() {
        let temp = tempfile::tempdir().unwrap();
        let staging = Staging(folder(temp.path(), "planted"));
        let error = staging.write(KEY, b"key", 0o600).unwrap_err();
        assert!(
            matches!(&error, CaError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists),
            "{error}"
        );
        assert_eq!(fs::read_to_string(staging.0.join(KEY)).unwrap(), "planted");
    }

    #[test]
    fn writes_keys_as_others_read_them() {
        let text = pem("PRIVATE KEY", &[7; 100]);
        assert!(text.lines().all(|line| line.len() <= 64), "{}", *text);
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap();
        assert_eq!(der.secret_pkcs8_der(), [7; 100]);
    }
}
