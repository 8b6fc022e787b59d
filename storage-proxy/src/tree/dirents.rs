//! Directories read in batches of bounded size, never listed whole and never sorted.

use std::{
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
};

use rustix::{fs::RawDir, io::Errno};

use super::{Fault, FileKind};

/// Bytes of one getdents64(2): hundreds of entries, and room for the longest name.
const BATCH: usize = 32 * 1024;

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
                        visit(name, entry.file_type().into())
                            .map_err(|fault| (fault, name.to_owned()))?;
                    }
                }
            }
            if entries.is_buffer_empty() {
                return Ok(position);
            }
        }
    }
}
