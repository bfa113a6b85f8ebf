//! Which of the watched files have changed, judged by content.
//!
//! Polling sees what notifications miss or tell too early: atomic renames, the symlink swaps by
//! which Kubernetes mounts secrets, network file systems, a folder that did not exist before. A
//! file is only read when its metadata differ, and its content is kept as a hash.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

/// What a set of files looked like.
#[derive(Debug, Default)]
pub(super) struct Watch {
    files: BTreeMap<PathBuf, Seen>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    stamp: Option<Stamp>,
    /// `None` where it cannot be read.
    content: Option<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Inode and time of its last change, which nothing can set back; both 0 where the system
    /// has no such thing.
    identity: (u64, i64, i64),
}

impl Watch {
    /// Takes `paths` as they are now.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self { files: paths.into_iter().map(|path| (path.clone(), Seen::of(path))).collect() }
    }

    /// Watches `paths` from now on. What is known of those that were watched before stays, so
    /// that no change between two looks is missed.
    pub(super) fn follow<'a>(&mut self, paths: impl IntoIterator<Item = &'a PathBuf>) {
        let mut before = std::mem::take(&mut self.files);
        self.files = paths
            .into_iter()
            .map(|path| {
                let seen = before.remove(path).unwrap_or_else(|| Seen::of(path));
                (path.clone(), seen)
            })
            .collect();
    }

    /// The files whose content differs from what it was at the last call.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (path, seen) in &mut self.files {
            let stamp = Stamp::of(path);
            // A stamp can stay the same across two writes within the clock's grain, so a file
            // that was touched just now is read each time.
            if stamp == seen.stamp && !stamp.is_some_and(|stamp| stamp.is_fresh()) {
                continue;
            }
            let now = Seen::of(path);
            if now.content != seen.content {
                changed.push(path.clone());
            }
            *seen = now;
        }
        changed
    }
}

impl Seen {
    fn of(path: &Path) -> Self {
        let stamp = Stamp::of(path);
        Self { stamp, content: fingerprint(path) }
    }
}

/// A hash of what the file holds; `None` where it cannot be read.
pub(super) fn fingerprint(path: &Path) -> Option<[u8; 32]> {
    // It may be a key.
    let bytes = Zeroizing::new(std::fs::read(path).ok()?);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    Some(hash)
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(&metadata),
        })
    }

    fn is_fresh(self) -> bool {
        let age = self.modified.and_then(|modified| modified.elapsed().ok());
        age.is_none_or(|age| age.as_secs() < 5)
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;

    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_content_and_not_touches() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([&file]);
        assert!(watch.changed().is_empty());
        std::fs::write(&file, "one").unwrap();
        assert!(watch.changed().is_empty(), "the same content");
        std::fs::write(&file, "two").unwrap();
        assert_eq!(watch.changed(), std::slice::from_ref(&file));
        assert!(watch.changed().is_empty());
    }

    #[test]
    fn sees_another_content_of_the_same_length_under_an_old_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        let old = SystemTime::now() - std::time::Duration::from_secs(3600);
        let write = |content: &str| {
            std::fs::write(&file, content).unwrap();
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        };
        write("one");
        let mut watch = Watch::new([&file]);
        write("two");
        if cfg!(unix) {
            assert_eq!(watch.changed(), std::slice::from_ref(&file), "as `cp -p` and `rsync -t` leave it");
        }
    }

    #[test]
    fn a_file_that_is_watched_anew_counts_as_seen_when_it_was_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (known, new) = (dir.path().join("known"), dir.path().join("new"));
        std::fs::write(&known, "one").unwrap();
        let mut watch = Watch::new([&known]);
        std::fs::write(&known, "two").unwrap();
        watch.follow([&known, &new]);
        std::fs::write(&new, "here").unwrap();
        assert_eq!(watch.changed(), [known.clone(), new.clone()]);
        watch.follow([&known]);
        std::fs::write(&new, "again").unwrap();
        assert!(watch.changed().is_empty(), "it is not watched any more");
    }

    #[test]
    fn sees_a_rename_into_place_and_a_file_that_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        let mut watch = Watch::new([&file]);
        assert!(watch.changed().is_empty());
        std::fs::write(dir.path().join("b"), "new").unwrap();
        std::fs::rename(dir.path().join("b"), &file).unwrap();
        assert_eq!(watch.changed(), std::slice::from_ref(&file));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(watch.changed(), [file]);
    }

    #[cfg(unix)]
    #[test]
    fn sees_the_symlink_swap_of_a_mounted_secret() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        for (version, content) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("key"), content).unwrap();
        }
        symlink("v1", dir.path().join("data")).unwrap();
        symlink("data/key", dir.path().join("key")).unwrap();
        let key = dir.path().join("key");
        let mut watch = Watch::new([&key]);
        symlink("v2", dir.path().join("data.tmp")).unwrap();
        std::fs::rename(dir.path().join("data.tmp"), dir.path().join("data")).unwrap();
        assert_eq!(watch.changed(), [key]);
    }
}
