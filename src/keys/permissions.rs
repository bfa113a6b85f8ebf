//! Warns of key files that other users of the machine can read.

use std::path::Path;

/// A warning, with the command that mends it, where users other than the owner and the group may
/// read or write `path`. The group is let be: a service's own group, or Kubernetes' `fsGroup`, is
/// how a file is shared on purpose. `None` too where the file cannot be examined, since loading it
/// says so better.
#[cfg(unix)]
pub fn readable_by_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    use super::text::{printable, shell_quoted};

    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() || mode & 0o006 == 0 {
        return None;
    }
    let path = path.to_string_lossy();
    let verb = if mode & 0o002 != 0 { "written" } else { "read" };
    Some(format!(
        "{} can be {verb} by every user of this machine (mode {mode:04o}); mend it with: chmod 600 {}",
        printable(&path),
        shell_quoted(&path)
    ))
}

/// Access lists of Windows are not examined.
#[cfg(not(unix))]
pub fn readable_by_others(_path: &Path) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn warns_of_files_that_others_can_read_and_names_the_chmod() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my key.pem");
        std::fs::write(&path, "x").unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            readable_by_others(&path)
        };
        assert_eq!(with_mode(0o600), None);
        assert_eq!(with_mode(0o640), None);
        let warning = with_mode(0o644).unwrap();
        assert!(warning.contains("(mode 0644)") && warning.contains("chmod 600 '"), "{warning}");
        assert!(with_mode(0o602).unwrap().contains("can be written"));
        assert_eq!(readable_by_others(&folder.path().join("missing")), None);
    }
}
