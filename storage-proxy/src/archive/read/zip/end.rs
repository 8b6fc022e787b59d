//! Where the directory is: told at the archive's very end.

use std::fs::File;

use super::{cut_off, read_at, u16_at, u32_at, u64_at};
use crate::archive::read::{Broken, Stop};

const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const END_LENGTH: usize = 22;
const LOCATOR_LENGTH: u64 = 20;
const END_64_LENGTH: usize = 56;
const LONGEST_COMMENT: usize = u16::MAX as usize;

/// The directory of a zip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    /// Where it begins in the file.
    pub at: u64,
    /// How many bytes it has.
    pub size: u64,
    /// How many entries, as the archive says.
    entries: u64,
    /// Whether that is by a number that has room for all of them.
    is_64: bool,
}

impl Directory {
    /// That so many entries were found in it. Writers that know no ZIP64 say how many there are modulo 65,536.
    pub fn has(&self, entries: u64) -> Result<(), Stop> {
        let told = match self.is_64 {
            true => entries,
            false => entries % (u64::from(u16::MAX) + 1),
        };
        if told == self.entries {
            return Ok(());
        }
        let why = format!(
            "is damaged: its directory says that it has {} entries, and has {entries}",
            self.entries
        );
        Err(Broken::archive(why).into())
    }

    /// In a file of so many bytes.
    pub fn find(file: &File, length: u64) -> Result<Self, Stop> {
        let most = (END_LENGTH + LONGEST_COMMENT) as u64;
        let from = length.saturating_sub(most);
        let mut tail = vec![0; usize::try_from(length - from).unwrap_or_default()];
        if read_at(file, &mut tail, from)? < tail.len() {
            return Err(cut_off().into());
        }
        let starts = (0..=tail.len().saturating_sub(END_LENGTH)).rev();
        let ends_here = |at: &usize| {
            let end = &tail[*at..];
            end.len() >= END_LENGTH
                && u32_at(end, 0) == END
                && usize::from(u16_at(end, 20)) == end.len() - END_LENGTH
        };
        let Some(at) = starts.into_iter().find(ends_here) else {
            return Err(cut_off().into());
        };
        let (end, at) = (&tail[at..], from + at as u64);
        let short = Self {
            at: u32_at(end, 16).into(),
            size: u32_at(end, 12).into(),
            entries: u16_at(end, 10).into(),
            is_64: false,
        };
        let disks = [4, 6].map(|at| u16_at(end, at));
        let parts = u16_at(end, 8) != u16_at(end, 10);
        if disks.iter().any(|disk| ![0, u16::MAX].contains(disk)) || parts {
            return Err(Broken::archive("is one of several parts").into());
        }
        let (directory, behind) = match Self::find_64(file, at)? {
            Some(found) => found,
            None => (short, at),
        };
        match directory.at.checked_add(directory.size) {
            Some(end) if end <= behind => Ok(directory),
            _ => Err(Broken::archive("is damaged: its directory is not where it says").into()),
        }
    }

    /// In a ZIP64, and where its own end begins.
    fn find_64(file: &File, end: u64) -> Result<Option<(Self, u64)>, Stop> {
        let Some(at) = end.checked_sub(LOCATOR_LENGTH) else {
            return Ok(None);
        };
        let mut locator = [0; LOCATOR_LENGTH as usize];
        read_at(file, &mut locator, at)?;
        if u32_at(&locator, 0) != LOCATOR_64 {
            return Ok(None);
        }
        let damaged = || Stop::from(Broken::archive("is damaged: its end leads nowhere"));
        let at = u64_at(&locator, 8);
        let mut record = [0; END_64_LENGTH];
        if at >= end
            || read_at(file, &mut record, at)? < record.len()
            || u32_at(&record, 0) != END_64
            || u64_at(&record, 24) != u64_at(&record, 32)
        {
            return Err(damaged());
        }
        let directory = Self {
            at: u64_at(&record, 48),
            size: u64_at(&record, 40),
            entries: u64_at(&record, 32),
            is_64: true,
        };
        Ok(Some((directory, at)))
    }
}
