//! Names that the copy's filesystem takes for one, and the source's doesn't: directories without case (casefold, shares of
//! other systems).

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd},
};

use crate::tree::{Control, Fault, dirents::Dirents, error::system, open::open_directory};

/// The entry `name` was to be made in `directory`, of the copy, and is there. A directory that a writer changes may show a
/// name twice: then it is there under this very name, and all is well.
///
/// # Errors
/// [`Fault::Alike`] if it is not: it is another entry's.
pub(super) fn shown_twice(
    directory: BorrowedFd<'_>,
    name: &CStr,
    control: &Control,
) -> Result<(), Fault> {
    let listed = open_directory(directory, c".").map_err(system("open"))?;
    let (mut dirents, mut found) = (Dirents::default(), false);
    while !found {
        control.check()?;
        let batch = dirents.batch(listed.as_fd(), |other, _| {
            found |= other == name;
            Ok(())
        });
        if batch.map_err(|(fault, _)| fault)?.is_none() && !found {
            return Err(Fault::Alike);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_name_is_shown_twice_only_if_the_copy_has_that_very_name() {
        let dir = tempfile::tempdir().unwrap();
        // More than one batch.
        for number in 0..2000 {
            fs::write(dir.path().join(format!("{number:0>100}")), "").unwrap();
        }
        fs::write(dir.path().join("NAME"), "").unwrap();
        let directory = File::open(dir.path()).unwrap();
        let look = |name| shown_twice(directory.as_fd(), name, &Control::default());
        assert_eq!(look(c"NAME"), Ok(()));
        assert_eq!(look(c"name"), Err(Fault::Alike));
        let stopped = Control::default();
        stopped.stop();
        let found = shown_twice(directory.as_fd(), c"NAME", &stopped);
        assert_eq!(found, Err(Fault::Cancelled));
    }
}
