//! Reading and writing single files: bounded, private where they must be, replaced in one step.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{FILE_BYTES_MAX, StoreError};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Mode 0644 less umask.
    Open,
    /// Mode 0600, and refused when it is wider.
    Owner,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

/// A file's text; `None` when there is no such file.
pub(super) fn read_text(path: &Path, privacy: Privacy, bytes_max: u64) -> Result<Option<String>, StoreError> {
    let fail = || io_error("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail()(error)),
    };
    let metadata = file.metadata().map_err(fail())?;
    let mode = metadata.mode() & 0o7777;
    if privacy == Privacy::Owner && mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(StoreError::Permissions { path, mode });
    }
    let too_long = || StoreError::Invalid {
        path: path.to_owned(),
        message: format!("longer than {bytes_max} bytes"),
        hint: "split a policy file in two; of people and agents, keep those who use the warehouse".to_owned(),
    };
    // Before a byte is read; and again after, because a file may grow meanwhile.
    if metadata.len() > bytes_max {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(fail())?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_long());
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        StoreError::Syntax {
            path: path.to_owned(),
            line: before.iter().filter(|&&b| b == b'\n').count() + 1,
            column: before.len() - line_start + 1,
            message: "not UTF-8".to_owned(),
        }
    })
}

/// A file's JSON; `None` when there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, privacy: Privacy) -> Result<Option<T>, StoreError> {
    let Some(text) = read_text(path, privacy, FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let text = error.to_string();
        let (line, column) = (error.line(), error.column());
        let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        StoreError::Syntax { path: path.to_owned(), line, column, message: message.to_owned() }
    })
}

/// Replaces a file in one step: temporary file beside it, fsync, rename, fsync of the folder.
pub(super) fn write_json(path: &Path, privacy: Privacy, value: &impl Serialize) -> Result<(), StoreError> {
    let fail = || io_error("write", path);
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| fail()(e.into()))?;
    bytes.push(b'\n');
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let mode = match privacy {
        Privacy::Open => 0o644,
        Privacy::Owner => 0o600,
    };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to tell; a leftover temporary file starts with a dot and is not read.
        drop(std::fs::remove_file(&temporary));
        return Err(fail()(error));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail())
}

/// Holds other editors off while it lives; makes the folder when missing.
pub(super) fn lock_folder(dir: &Path) -> Result<File, StoreError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(io_error("make", dir))?;
    let path = dir.join(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("open", &path))?;
    file.lock().map_err(io_error("lock", &path))?;
    Ok(file)
}

/// A JSON object as a map in which a key may stand once only (serde's own keeps the last one silently).
pub(super) fn unique_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    struct Unique<K, V>(PhantomData<(K, V)>);

    impl<'de, K, V> Visitor<'de> for Unique<K, V>
    where
        K: Deserialize<'de> + Ord + fmt::Display,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<K, V>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("\"{key}\" stands here twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
