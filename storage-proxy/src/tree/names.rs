//! Part of a directory's names, in order: as many as a bounded buffer holds, found in one reading of the directory.
//!
//! A directory tells its entries in no useful order. To tell them in order, and in pages, each page would have to read all
//! of it, which takes a million entries a million times a hundred reads. So one reading keeps as many of the names that
//! come next as a few MiB hold, a hundred thousand or more, and the following pages come from there.

use std::{
    cmp::Ordering,
    ffi::{CStr, CString},
    mem::size_of,
    os::fd::BorrowedFd,
};

use rustix::fs::{AtFlags, SeekFrom, seek, statat};

use super::{
    Control, Fault, FileKind, Meta,
    dirents::Dirents,
    error::{looking, system},
};

/// Bytes that the names of one reading take at most.
pub const MOST: usize = 8 << 20;

/// What entries are put in order by; those with the same, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum By {
    /// The name, in byte order.
    #[default]
    Name,
    /// The size.
    Size,
    /// The last change of data.
    Modified,
}

/// In what order entries are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// By what.
    pub by: By,
    /// The other way round.
    pub descending: bool,
}

impl Order {
    fn compare(self, one: (i64, &CStr), other: (i64, &CStr)) -> Ordering {
        let ascending = one.cmp(&other);
        if self.descending {
            ascending.reverse()
        } else {
            ascending
        }
    }

    /// What `meta` is put in order by.
    fn value(self, meta: &Meta) -> i64 {
        let (seconds, nanos) = meta.modified;
        match self.by {
            By::Name => 0,
            By::Size => i64::try_from(meta.size).unwrap_or(i64::MAX),
            // Beyond the years 1677 and 2262 all are the same.
            By::Modified => seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
        }
    }
}

/// Where an entry stands in an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What it was put in order by; 0 for names.
    pub value: i64,
    /// Its name.
    pub name: CString,
}

impl Position {
    /// By name.
    #[must_use]
    pub fn named(name: CString) -> Self {
        Self { value: 0, name }
    }

    fn key(&self) -> (i64, &CStr) {
        (self.value, &self.name)
    }
}

/// A name that was read.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The name.
    pub name: &'a CStr,
    /// What it was put in order by.
    pub value: i64,
    /// What the directory said that it is: a hint.
    pub kind: FileKind,
}

impl Name<'_> {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            value: self.value,
            name: self.name.to_owned(),
        }
    }
}

/// The names of a directory that come next after some position.
#[derive(Debug)]
pub struct Names {
    order: Order,
    after: Option<Position>,
    /// With their NULs.
    text: Vec<u8>,
    items: Vec<Item>,
    is_last: bool,
    total: u64,
    read_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    value: i64,
    begin: u32,
    /// With the NUL.
    bytes: u16,
    kind: FileKind,
}

impl Item {
    fn name<'a>(&self, text: &'a [u8]) -> &'a CStr {
        let begin = self.begin as usize;
        let bytes = text.get(begin..begin + usize::from(self.bytes));
        bytes
            .and_then(|bytes| CStr::from_bytes_with_nul(bytes).ok())
            .unwrap_or_default()
    }
}

impl Names {
    /// Reads all of `directory`, open for reading, and keeps those that come next after `after`: about `most` bytes of them.
    /// `now` is what [`Names::read_at`] answers.
    ///
    /// # Errors
    /// [`Fault::Cancelled`], and what getdents64(2) and stat(2) say.
    pub fn read(
        directory: BorrowedFd<'_>,
        order: Order,
        after: Option<Position>,
        most: usize,
        now: u64,
        control: &Control,
    ) -> Result<Self, Fault> {
        let mut names = Self {
            order,
            after,
            text: Vec::new(),
            items: Vec::new(),
            is_last: true,
            total: 0,
            read_at: now,
        };
        // Of those that were dropped, all come after this one.
        let mut bound = None;
        seek(directory, SeekFrom::Start(0)).map_err(system("lseek"))?;
        let mut dirents = Dirents::default();
        let mut more = true;
        while more {
            let batch = dirents.batch(directory, |name, kind| {
                control.check()?;
                names.total += 1;
                let value = match order.by {
                    By::Name => 0,
                    By::Size | By::Modified => match look(directory, name) {
                        Err(Fault::Gone) => return Ok(()),
                        looked => order.value(&looked?),
                    },
                };
                if names.is_wanted((value, name), bound) {
                    names.add(name, value, kind);
                    if names.bytes() > most && names.items.len() > 1 {
                        bound = Some(names.drop_half());
                    }
                }
                Ok(())
            });
            more = batch.map_err(|(fault, _)| fault)?.is_some();
        }
        names.sort();
        Ok(names)
    }

    /// Memory that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.items.len() * size_of::<Item>()
    }

    /// How many names it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The name number `index`, in order.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Name<'_>> {
        self.items.get(index).map(|item| Name {
            name: item.name(&self.text),
            value: item.value,
            kind: item.kind,
        })
    }

    /// The number of the first name after `after`.
    #[must_use]
    pub fn first_after(&self, after: Option<&Position>) -> usize {
        let Some(after) = after else {
            return 0;
        };
        self.items.partition_point(|item| {
            let item = (item.value, item.name(&self.text));
            self.order.compare(item, after.key()) != Ordering::Greater
        })
    }

    /// Whether whoever goes on after `after` finds what comes next here.
    #[must_use]
    pub fn covers(&self, after: Option<&Position>) -> bool {
        let compare = |one: &Position, other: &Position| self.order.compare(one.key(), other.key());
        let begins = match (&self.after, after) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(begin), Some(after)) => compare(begin, after) != Ordering::Greater,
        };
        begins && (self.is_last || self.first_after(after) < self.items.len())
    }

    /// Where it ends, if there is more.
    #[must_use]
    pub fn rest_after(&self) -> Option<Position> {
        let last = self.items.len().checked_sub(1);
        let last = last.and_then(|last| self.get(last));
        last.filter(|_| !self.is_last).map(|name| name.position())
    }

    /// How many entries the directory had in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When the reading began.
    #[must_use]
    pub fn read_at(&self) -> u64 {
        self.read_at
    }

    fn is_wanted(&self, name: (i64, &CStr), bound: Option<usize>) -> bool {
        let compare = |other| self.order.compare(name, other);
        let after = self.after.as_ref().map(Position::key);
        let bound = bound.and_then(|bound| self.get(bound));
        after.is_none_or(|after| compare(after) == Ordering::Greater)
            && bound.is_none_or(|bound| compare((bound.value, bound.name)) == Ordering::Less)
    }

    fn add(&mut self, name: &CStr, value: i64, kind: FileKind) {
        let bytes = name.to_bytes_with_nul();
        // Both fit: a name has 255 bytes at most, and the text a few MiB.
        let (begin, length) = (u32::try_from(self.text.len()), u16::try_from(bytes.len()));
        if let (Ok(begin), Ok(bytes)) = (begin, length) {
            self.items.push(Item {
                value,
                begin,
                bytes,
                kind,
            });
            self.text.extend_from_slice(name.to_bytes_with_nul());
        }
    }

    /// Keeps the half that comes first. Answers the number of the last of it, where it stays until the next time.
    fn drop_half(&mut self) -> usize {
        let Self {
            order, text, items, ..
        } = self;
        let last = items.len() / 2 - 1;
        items.select_nth_unstable_by(last, |one, other| compare(*order, text, one, other));
        items.truncate(last + 1);
        let mut kept = Vec::with_capacity(text.len());
        for item in items {
            let name = item.name(text).to_bytes_with_nul();
            // It was no larger before.
            item.begin = u32::try_from(kept.len()).unwrap_or_default();
            kept.extend_from_slice(name);
        }
        *text = kept;
        self.is_last = false;
        last
    }

    fn sort(&mut self) {
        let Self {
            order, text, items, ..
        } = self;
        items.sort_unstable_by(|one, other| compare(*order, text, one, other));
        // A directory that a writer changes may tell a name twice.
        items.dedup_by(|one, other| one.name(text) == other.name(text));
        items.shrink_to_fit();
        text.shrink_to_fit();
    }
}

fn compare(order: Order, text: &[u8], one: &Item, other: &Item) -> Ordering {
    let key = |item: &Item| (item.value, item.name(text));
    order.compare(key(one), key(other))
}

fn look(directory: BorrowedFd<'_>, name: &CStr) -> Result<Meta, Fault> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?;
    Ok(Meta::from(stat))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{collections::BTreeSet, fs, os::fd::AsFd as _};

    use proptest::prelude::*;
    use rustix::fs::{Mode, OFlags, open};

    use super::*;

    /// All of a directory, by readings of `most` bytes.
    fn all(path: &std::path::Path, order: Order, most: usize) -> Vec<CString> {
        let directory = open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            let fd = directory.as_fd();
            let names = Names::read(fd, order, after.take(), most, 0, &Control::default()).unwrap();
            assert!(names.bytes() <= most.max(2 * 300));
            told.extend((0..names.len()).map(|index| names.get(index).unwrap().name.to_owned()));
            after = names.rest_after();
            if after.is_none() {
                return told;
            }
            assert!(!names.covers(after.as_ref()));
            assert!(names.covers(Some(&names.get(0).unwrap().position())) || names.len() == 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn readings_of_any_size_tell_each_name_once_and_in_order(
            names in prop::collection::btree_set("[a-zé\n]{1,12}", 1..60),
            most in 1_usize..2000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            for (number, name) in names.iter().enumerate() {
                fs::write(dir.path().join(name), vec![0; number % 7]).unwrap();
            }
            let names: BTreeSet<CString> =
                names.iter().map(|name| CString::new(name.as_str()).unwrap()).collect();
            let by_name: Vec<_> = names.iter().cloned().collect();
            let order = Order::default();
            prop_assert_eq!(&all(dir.path(), order, most), &by_name);
            let descending = Order { descending: true, ..order };
            let mut reversed = all(dir.path(), descending, most);
            reversed.reverse();
            prop_assert_eq!(&reversed, &by_name);
            let by_size = all(dir.path(), Order { by: By::Size, descending: false }, most);
            let size = |name: &CString| fs::metadata(dir.path().join(name.to_str().unwrap())).unwrap().len();
            let mut wanted = by_name;
            wanted.sort_by_key(|name| (size(name), name.clone()));
            prop_assert_eq!(by_size, wanted);
        }
    }
}
