//! Where a file has data, and where holes.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::{Fault, error::looking};

/// The first data at or after `at` and its end, both below `end`; nothing, if only a hole is left.
pub fn next_extent(file: &OwnedFd, at: u64, end: u64) -> Result<Option<(u64, u64)>, Fault> {
    // Most files have no holes: one call tells.
    if at == 0 {
        match seek(file, SeekFrom::Hole(0)) {
            Ok(0) => {}
            Ok(to) => return Ok(Some((0, to.min(end)))),
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((0, end))),
            Err(errno) => return Err(looking("lseek")(errno)),
        }
    }
    let from = match seek(file, SeekFrom::Data(at)) {
        Ok(from) if from < end => from,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        // The filesystem doesn't tell: all of it counts as data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, end))),
        Err(errno) => return Err(looking("lseek")(errno)),
    };
    match seek(file, SeekFrom::Hole(from)) {
        Ok(to) => Ok(Some((from, to.min(end)))),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(looking("lseek")(errno)),
    }
}
