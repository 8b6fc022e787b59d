//! Directories read in batches of bounded size, never listed whole.

use std::{
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
};

use rustix::{
    fs::{RawDir, RawDirEntry},
    io::Errno,
};

use super::{Fault, FileKind};

/// Bytes of one getdents64(2): hundreds of entries, and room for the longest name.
const BATCH: usize = 32 * 1024;
/// Entries that are sorted at once: some MiB of names at most, most often below one.
const SORTED: usize = 16 * 1024;

/// A buffer for getdents64(2), to be used again and again.
#[derive(Debug)]
pub struct Dirents(Vec<MaybeUninit<u8>>);

impl Default for Dirents {
    fn default() -> Self {
        Self(vec![MaybeUninit::uninit(); BATCH])
    }
}

impl Dirents {
    /// Visits the entries of the next batch, from where `directory` stands. Answers the position after the batch, for
    /// lseek(2), or nothing at the end.
    ///
    /// The kind is a hint: `Unknown` on some filesystems, and outdated if a writer was faster.
    ///
    /// # Errors
    /// The fault and the entry's name; no name if it was getdents64(2) that failed.
    pub fn batch(
        &mut self,
        directory: BorrowedFd<'_>,
        mut visit: impl FnMut(&CStr, FileKind) -> Result<(), Fault>,
    ) -> Result<Option<u64>, (Fault, CString)> {
        self.raw_batch(directory, |entry| {
            visit(entry.file_name(), entry.file_type().into())
        })
    }

    /// As [`Dirents::batch`], of many times as many entries, in the order of their inodes: where directories are kept in
    /// the order of a hash (ext4), whoever changes the inodes of a wide one would else go to and fro in their table.
    ///
    /// # Errors
    /// As [`Dirents::batch`].
    pub fn sorted_batch(
        &mut self,
        directory: BorrowedFd<'_>,
        mut visit: impl FnMut(&CStr, FileKind) -> Result<(), Fault>,
    ) -> Result<Option<u64>, (Fault, CString)> {
        let mut names = Vec::new();
        let mut found = Vec::with_capacity(SORTED);
        let mut position;
        loop {
            position = self.raw_batch(directory, |entry| {
                let begin = names.len();
                names.extend_from_slice(entry.file_name().to_bytes_with_nul());
                found.push((entry.ino(), entry.file_type().into(), begin));
                Ok(())
            })?;
            if position.is_none() || found.len() >= SORTED {
                break;
            }
        }
        found.sort_unstable_by_key(|(inode, _, _)| *inode);
        for (_, kind, begin) in found {
            let name = names.get(begin..).unwrap_or_default();
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            visit(name, kind).map_err(|fault| (fault, name.to_owned()))?;
        }
        Ok(position)
    }

    fn raw_batch(
        &mut self,
        directory: BorrowedFd<'_>,
        mut visit: impl FnMut(&RawDirEntry<'_>) -> Result<(), Fault>,
    ) -> Result<Option<u64>, (Fault, CString)> {
        let mut entries = RawDir::new(directory, &mut self.0);
        let mut position = None;
        loop {
            match entries.next() {
                // ENOENT: the directory itself was removed, so there is nothing more in it.
                None | Some(Err(Errno::NOENT)) => return Ok(None),
                Some(Err(errno)) => {
                    return Err((Fault::System("getdents64", errno), CString::default()));
                }
                Some(Ok(entry)) => {
                    position = Some(entry.next_entry_cookie()).or(position);
                    let name = entry.file_name();
                    if name != c"." && name != c".." {
                        visit(&entry).map_err(|fault| (fault, name.to_owned()))?;
                    }
                }
            }
            if entries.is_buffer_empty() {
                return Ok(position);
            }
        }
    }
}
