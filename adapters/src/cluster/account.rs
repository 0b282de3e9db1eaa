//! Which account the server runs as, and folders that account can reach.
//!
//! initdb and postgres refuse root, so root drops to `postgres`, else `nobody`. Must never change the owner of anything
//! outside the cluster's own folder. Called by [`super::Cluster`].

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::ClusterError;

/// An unprivileged account to drop to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// `None` when we are not root and need not change anything. `ours` is a folder this process has just made: its owner
    /// is our effective user, which needs neither a system call of our own nor `/proc`.
    pub(super) fn to_run_as(ours: &Path) -> Result<Option<Self>, ClusterError> {
        let uid = std::fs::metadata(ours).map_err(|source| ClusterError::io("look at", ours, source))?.uid();
        if uid != 0 {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let text =
            std::fs::read_to_string(passwd).map_err(|source| ClusterError::io("read", passwd, source))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::parse(&text, name))
            .map(Some)
            .ok_or(ClusterError::NoAccount)
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [found, _, uid, gid, ..] if *found == name => {
                    Some(Self { uid: uid.parse().ok().filter(|uid| *uid != 0)?, gid: gid.parse().ok()? })
                }
                _ => None,
            }
        })
    }

    /// Gives one file or folder to the account.
    pub(super) fn own(self, path: &Path) -> Result<(), ClusterError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|source| ClusterError::io("give away", path, source))
    }

    /// Every parent must let this account through; the first that does not is the error.
    pub(super) fn can_reach(self, folder: &Path) -> Result<(), ClusterError> {
        match first_closed(folder, Some(self)) {
            Some(closed) => Err(ClusterError::Closed(closed)),
            None => Ok(()),
        }
    }
}

/// The first of the folder's parents that `account` (or, without one, a stranger) may not pass.
fn first_closed(folder: &Path, account: Option<Account>) -> Option<PathBuf> {
    folder.ancestors().skip(1).find_map(|parent| {
        if parent.as_os_str().is_empty() {
            return None;
        }
        let open = std::fs::metadata(parent).is_ok_and(|meta| {
            let mode = meta.permissions().mode();
            let own = account.is_some_and(|a| meta.uid() == a.uid && mode & 0o100 != 0);
            let group = account.is_some_and(|a| meta.gid() == a.gid && mode & 0o010 != 0);
            own || group || mode & 0o001 != 0
        });
        (!open).then(|| parent.to_owned())
    })
}

/// A fresh folder with a short path that any account can reach: under `TMPDIR` when strangers may pass, else `/tmp`.
///
/// The caller, or the [`Cluster`](super::Cluster) it is given to, removes it.
///
/// # Errors
/// The folder cannot be made.
pub fn scratch_folder(label: &str) -> Result<PathBuf, ClusterError> {
    // Unix socket paths end at 107 bytes; a long TMPDIR leaves no room for ours.
    const ROOT_BYTES_MAX: usize = 50;
    let wished = std::env::temp_dir();
    let fits = wished.is_absolute()
        && wished.as_os_str().len() <= ROOT_BYTES_MAX
        && first_closed(&wished.join("x"), None).is_none();
    let root = if fits { wished } else { PathBuf::from("/tmp") };
    for _ in 0..8 {
        let folder = root.join(format!("{label}-{}", super::random_hex(4)?));
        let made = std::fs::DirBuilder::new().mode(0o755).create(&folder);
        match made {
            Ok(()) => return Ok(folder),
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(ClusterError::io("make", &folder, source)),
        }
    }
    Err(ClusterError::io("make a folder under", &root, io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_name_with_an_unprivileged_uid_counts() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n\
                      toor:x:0:0::/:/bin/sh\nbroken:x:abc:1::/:/bin/sh\nshort:x\n";
        assert_eq!(Account::parse(passwd, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        for refused in ["postgres", "toor", "broken", "short", "", "root"] {
            assert_eq!(Account::parse(passwd, refused), None, "{refused}");
        }
    }

    #[test]
    fn a_closed_parent_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let folder = scratch_folder("lanyard-closed")?;
        let inner = folder.join("a/b");
        std::fs::create_dir_all(&inner)?;
        std::fs::set_permissions(folder.join("a"), std::fs::Permissions::from_mode(0o700))?;
        let stranger = Account { uid: 54_321, gid: 54_321 };
        assert!(matches!(stranger.can_reach(&inner), Err(ClusterError::Closed(p)) if p == folder.join("a")));
        assert!(stranger.can_reach(&folder).is_ok());
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
