//! A Unix socket that at no moment can be reached by another user.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A listener that removes its file when it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's file, so that no other file is removed for it.
    file: (u64, u64),
}

impl Listener {
    /// Binds in a fresh directory that only this user can enter, narrows the mode there, and
    /// moves the socket to its place: the umask, which belongs to all threads, is left alone, and
    /// a stale socket is replaced in one step.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        refuse_what_lives(path)?;
        let name = path.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display()))
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let dir = PrivateDir::new(parent)?;
        let inside = dir.0.join("s");
        let listener =
            std::os::unix::net::UnixListener::bind(&inside).map_err(|error| explain(error, path))?;
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        let path = parent.join(name);
        fs::rename(&inside, &path).map_err(|error| explain(error, &path))?;
        let file = identity(&fs::symlink_metadata(&path)?);
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| identity(&now) == self.file);
        if ours {
            // A file that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Errors where the path is a socket that somebody listens on, or no socket at all.
fn refuse_what_lives(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} exists and is not a socket", path.display()),
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another process already listens on {}", path.display()),
        )),
        Err(error) => Err(explain(error, path)),
    }
}

fn explain(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// A directory with mode 0700 that is removed when it is dropped.
struct PrivateDir(PathBuf);

impl PrivateDir {
    fn new(parent: &Path) -> io::Result<Self> {
        // Short, since the path of a socket has little room (108 bytes on Linux).
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = parent.join(format!(".{}", &id[..8]));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| explain(error, &path))?;
        Ok(Self(path))
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // Empty unless the bind failed half-way; then the socket goes first.
        let _ = fs::remove_file(self.0.join("s"));
        let _ = fs::remove_dir(&self.0);
    }
}
