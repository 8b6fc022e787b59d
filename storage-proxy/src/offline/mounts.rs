//! What is mounted where.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// A mount point at `path`, absolute and free of symlinks, or below it.
pub fn mounted_within(path: &Path) -> io::Result<Option<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(first_within(&table, path))
}

fn first_within(table: &[u8], path: &Path) -> Option<PathBuf> {
    let points = table.split(|b| *b == b'\n').filter_map(mount_point);
    points.into_iter().find(|point| point.starts_with(path))
}

/// The fifth field (proc_pid_mountinfo(5)); blanks, backslashes and line ends in it are octal.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|b| *b == b' ').nth(4)?;
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let byte = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    Some(PathBuf::from(OsString::from_vec(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 0:20 / / rw - ext4 /dev/a rw\n\
        23 22 0:21 / /data/with\\040blank rw - xfs /dev/b rw\n\
        24 22 0:22 / /database rw - xfs /dev/c rw\n";

    #[test]
    fn a_mount_below_is_found_and_one_beside_is_not() {
        let found = first_within(TABLE, Path::new("/data"));
        assert_eq!(found, Some(PathBuf::from("/data/with blank")));
        assert_eq!(first_within(TABLE, Path::new("/dat")), None);
        assert_eq!(first_within(TABLE, Path::new("/data/other")), None);
    }

    #[test]
    fn a_mount_point_itself_is_found() {
        let found = first_within(TABLE, Path::new("/database"));
        assert_eq!(found, Some(PathBuf::from("/database")));
    }
}
