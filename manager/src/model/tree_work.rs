//! Work inside a tree, as it is kept with its operation.

use serde::{Deserialize, Serialize};
use vfolder_common::path::RelativePath;

/// What an operation that makes a vfolder PERFORMING does. Paths are from the tree's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeWork {
    /// Unpacks an archive.
    Extract(Extract),
    /// Removes.
    Remove(Remove),
}

/// Unpacks an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// The archive.
    pub archive: RelativePath,
    /// The directory to unpack into.
    pub destination: RelativePath,
    /// How it is written. None: to be found out.
    pub format: Option<ArchiveFormat>,
    /// What to do with what is there already.
    pub existing: Existing,
    /// At most so many bytes.
    pub max_bytes: u64,
    /// At most so many entries.
    pub max_files: u64,
}

/// Removes files and directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Which.
    pub paths: Vec<RelativePath>,
    /// What is not there counts as removed.
    pub missing_ok: bool,
}

/// How an archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ArchiveFormat {
    Tar,
    TarGz,
    TarZst,
    Zip,
}

/// What to do with what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Unpack nothing.
    Fail,
    /// Leave it.
    Skip,
    /// Replace it.
    Replace,
}

impl TreeWork {
    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what was kept; none if it was not.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn work_is_read_back_as_it_was_kept() {
        let path = |bytes: &[u8]| RelativePath::parse(bytes).unwrap();
        for work in [
            TreeWork::Extract(Extract {
                archive: path(b"a\xff.zip"),
                destination: path(b""),
                format: Some(ArchiveFormat::TarZst),
                existing: Existing::Skip,
                max_bytes: u64::MAX,
                max_files: 1,
            }),
            TreeWork::Remove(Remove {
                paths: vec![path(b"a/b"), path(b"\x01\n\"")],
                missing_ok: true,
            }),
        ] {
            assert_eq!(TreeWork::from_text(&work.to_text()), Some(work));
        }
        assert_eq!(TreeWork::from_text(""), None);
    }
}
