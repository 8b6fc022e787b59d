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
