//! Where Unix, Linux and Windows differ in the making of private files.

#[cfg(unix)]
use std::fs;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
use super::KEY;

/// A warning for each of the folder and the key that others may read, with the `chmod` to mend it.
#[cfg(unix)]
pub(in crate::ca) fn loose_permissions(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;

    [(dir.to_owned(), "700"), (dir.join(KEY), "600")]
        .into_iter()
        .filter_map(|(path, wanted)| {
            let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
            (mode & 0o077 != 0).then(|| {
                format!(
                    "{path} is open to other users (mode {mode:03o}): chmod {wanted} {path}",
                    path = path.display()
                )
            })
        })
        .collect()
}

#[cfg(not(unix))]
pub(in crate::ca) fn loose_permissions(_dir: &Path) -> Vec<String> {
    Vec::new()
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
pub(super) fn private_folder() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;

    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
pub(super) fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

#[cfg(unix)]
pub(super) fn new_file(mode: u32) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options
}

#[cfg(not(unix))]
pub(super) fn new_file(_mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options
}

/// So that a rename outlives a power cut. A file system that cannot do it is no reason to fail.
pub(super) fn sync_parent(dir: &Path) {
    if let Some(parent) = dir.parent() {
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
}
