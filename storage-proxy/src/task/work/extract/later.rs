//! What is done after the files, kept in a file without a name: an archive may have any number of links and directories.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt as _,
};

use rustix::io::Errno;

use crate::{task::work::inside::Ended, tree::RelativePath, volume::on};

/// A link or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Later {
    pub path: RelativePath,
    pub what: What,
    pub mode: u32,
    pub modified: (i64, i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    Symlink(Vec<u8>),
    HardLink(RelativePath),
}

const DIRECTORY: u8 = 0;
const SYMLINK: u8 = 1;
const HARD_LINK: u8 = 2;
/// Bytes of one besides its texts, and besides its length behind it: kind, mode, time, the texts' lengths.
const FIXED: usize = 1 + 4 + 16 + 4;

impl Later {
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, target) = match &self.what {
            What::Directory => (DIRECTORY, &b""[..]),
            What::Symlink(target) => (SYMLINK, &target[..]),
            What::HardLink(target) => (HARD_LINK, target.as_bytes()),
        };
        to.write_all(&[kind])?;
        to.write_all(&self.mode.to_le_bytes())?;
        to.write_all(&self.modified.0.to_le_bytes())?;
        to.write_all(&self.modified.1.to_le_bytes())?;
        for text in [self.path.as_bytes(), target] {
            // Both are shorter than a path may be.
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            to.write_all(&length.to_le_bytes())?;
            to.write_all(text)?;
        }
        // By which it is found from behind.
        let texts = self.path.as_bytes().len() + target.len();
        let length = u32::try_from(FIXED + texts).unwrap_or(u32::MAX);
        to.write_all(&length.to_le_bytes())
    }

    /// The one that ends before `end`, which becomes where that begins; nothing at the start.
    pub fn read_back(from: &File, end: &mut u64) -> io::Result<Option<Self>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let Some(at) = end.checked_sub(4) else {
            return Ok(None);
        };
        let mut length = [0; 4];
        from.read_exact_at(&mut length, at)?;
        let length = u32::from_le_bytes(length);
        let begin = at.checked_sub(length.into()).ok_or_else(wrong)?;
        let mut one = vec![0; usize::try_from(*end - begin).unwrap_or_default()];
        from.read_exact_at(&mut one, begin)?;
        *end = begin;
        Self::read(&mut &one[..])
    }

    /// The next one; nothing at the end.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mode = u32::from_le_bytes(bytes(from)?);
        let modified = (
            i64::from_le_bytes(bytes(from)?),
            i64::from_le_bytes(bytes(from)?),
        );
        let (path, target) = (text(from)?, text(from)?);
        bytes::<4>(from)?;
        let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
        let what = match kind[0] {
            DIRECTORY => What::Directory,
            SYMLINK => What::Symlink(target),
            _ => What::HardLink(RelativePath::parse(&target).map_err(wrong)?),
        };
        Ok(Some(Self {
            path: RelativePath::parse(&path).map_err(wrong)?,
            what,
            mode,
            modified,
        }))
    }
}

/// What goes wrong with the file that they are kept in.
pub(super) fn scratch(error: io::Error) -> Ended {
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    on("scratch file", "use")(errno).into()
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = u16::from_le_bytes(bytes(from)?);
    let mut text = vec![0; length.into()];
    from.read_exact(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let path = |text: &[u8]| RelativePath::parse(text).unwrap();
        let all = [
            What::Directory,
            What::Symlink(b"/etc/\xff".to_vec()),
            What::HardLink(path(b"a")),
        ];
        let all = all.map(|what| Later {
            path: path(b"x/\xfe"),
            what,
            mode: 0o1755,
            modified: (-1, 999_999_999),
        });
        let mut kept = Vec::new();
        all.iter().for_each(|later| later.write(&mut kept).unwrap());
        let mut from = &kept[..];
        for later in &all {
            assert_eq!(Later::read(&mut from).unwrap().as_ref(), Some(later));
        }
        assert_eq!(Later::read(&mut from).unwrap(), None);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&kept, 0).unwrap();
        let mut end = kept.len() as u64;
        for later in all.iter().rev() {
            let read = Later::read_back(&file, &mut end).unwrap();
            assert_eq!(read.as_ref(), Some(later));
        }
        assert_eq!(Later::read_back(&file, &mut end).unwrap(), None);
    }
}
