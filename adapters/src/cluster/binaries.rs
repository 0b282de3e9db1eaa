//! Where PostgreSQL's server binaries are.
//!
//! Looks and never runs anything but `pg_config --bindir`. Called by [`Cluster::find_binaries`](super::Cluster::find_binaries).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ClusterError;

/// What a folder must hold to start a cluster from it.
const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// A flag wins and is never second-guessed; then PATH, `pg_config`, Debian's versioned folders (newest first), Homebrew.
pub(super) fn find(flag: Option<&Path>) -> Result<PathBuf, ClusterError> {
    if let Some(folder) = flag {
        return if holds(folder) {
            Ok(folder.to_owned())
        } else {
            Err(ClusterError::NotABinFolder(folder.to_owned()))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path)
        .chain(pg_config())
        .chain(versioned(Path::new("/usr/lib/postgresql"), ""))
        .chain(versioned(Path::new("/opt/homebrew/opt"), "postgresql@"))
        .chain(versioned(Path::new("/usr/local/opt"), "postgresql@"));
    for folder in candidates {
        if holds(&folder) {
            // Homebrew links single programs into PATH; the server looks for its share folder beside the real one.
            let real = folder.join("postgres").canonicalize();
            let home = real.ok().and_then(|p| p.parent().map(Path::to_owned));
            return Ok(home.filter(|h| holds(h)).unwrap_or(folder));
        }
    }
    Err(ClusterError::NoBinaries)
}

fn holds(folder: &Path) -> bool {
    NEEDED.iter().all(|name| folder.join(name).is_file())
}

fn pg_config() -> Option<PathBuf> {
    let run = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(run.stdout).ok()?;
    (run.status.success() && !text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// `<root>/<prefix><major>/bin`, newest first.
fn versioned(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_wrong_is_an_error_and_not_a_hint() {
        for wrong in ["/", "/nonexistent/bin", "", "/etc/passwd"] {
            assert!(matches!(find(Some(Path::new(wrong))), Err(ClusterError::NotABinFolder(_))), "{wrong}");
        }
    }

    #[test]
    fn newest_version_first_by_number() -> Result<(), Box<dyn std::error::Error>> {
        let root = crate::cluster::scratch_folder("lanyard-versions")?;
        for name in ["9", "15", "100", "x", "16beta"] {
            std::fs::create_dir_all(root.join(name))?;
        }
        let found = versioned(&root, "");
        std::fs::remove_dir_all(&root)?;
        let expected: Vec<PathBuf> = ["100", "15", "9"].iter().map(|v| root.join(v).join("bin")).collect();
        assert_eq!(found, expected);
        assert!(versioned(Path::new("/nonexistent"), "").is_empty());
        Ok(())
    }
}
