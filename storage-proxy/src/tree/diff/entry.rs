//! Compares what two directories have under the same name.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd},
};

use rustix::{fs::readlinkat, io::Errno};

use super::{
    Aspect,
    content::ContentComparer,
    links::{Pairs, Relation},
};
use crate::tree::{
    Control, Fault, FileKind, Meta, attributes::AttributeReader, error::looking, open::open_regular,
};

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Compares entries; holds the buffers.
#[derive(Debug, Default)]
pub struct EntryComparer {
    attributes: AttributeReader,
    content: ContentComparer,
}

impl EntryComparer {
    /// Compares two open files or directories, but not what is in them.
    pub fn compare_open(
        &mut self,
        (first, first_meta): (BorrowedFd<'_>, &Meta),
        (second, second_meta): (BorrowedFd<'_>, &Meta),
    ) -> Result<Vec<Aspect>, Fault> {
        let mut aspects = inodes(first_meta, second_meta);
        let attributes = |reader: &mut AttributeReader, directory| {
            let mut all = Attributes::new();
            reader.read_open(directory, |name, value| {
                all.insert(name.to_vec(), value.to_vec());
            })?;
            Ok::<_, Fault>(all)
        };
        let first = attributes(&mut self.attributes, first)?;
        let second = attributes(&mut self.attributes, second)?;
        aspects.extend(differing(&first, &second));
        Ok(aspects)
    }

    /// Compares the entry `name` of two directories, which is no directory in either.
    pub fn compare(
        &mut self,
        (first, first_meta): (BorrowedFd<'_>, &Meta),
        (second, second_meta): (BorrowedFd<'_>, &Meta),
        name: &CStr,
        pairs: &Pairs,
        control: &Control,
    ) -> Result<Vec<Aspect>, Fault> {
        if first_meta.kind != second_meta.kind {
            return Ok(vec![Aspect::Kind(first_meta.kind, second_meta.kind)]);
        }
        let relation = pairs.relate(first_meta, second_meta);
        if relation == Relation::Compared {
            return Ok(Vec::new());
        }
        let mut aspects = match first_meta.kind {
            FileKind::Regular => self.compare_files(first, second, name, control)?,
            _ => self.compare_special((first, first_meta), (second, second_meta), name)?,
        };
        if relation == Relation::Crossed {
            aspects.push(Aspect::Links);
        }
        Ok(aspects)
    }

    fn compare_files(
        &mut self,
        first: BorrowedFd<'_>,
        second: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<Vec<Aspect>, Fault> {
        let (first, first_meta) = open_regular(first, name, control)?;
        let (second, second_meta) = open_regular(second, name, control)?;
        let opened = (first.as_fd(), &first_meta);
        let mut aspects = self.compare_open(opened, (second.as_fd(), &second_meta))?;
        let sizes = (first_meta.size, second_meta.size);
        if sizes.0 != sizes.1 {
            aspects.push(Aspect::Size(sizes.0, sizes.1));
        } else if first_meta.id != second_meta.id {
            let files = (&first, &second);
            let found = self.content.first_difference(files, sizes.0, control)?;
            aspects.extend(found.map(Aspect::Content));
        }
        Ok(aspects)
    }

    fn compare_special(
        &mut self,
        (first, first_meta): (BorrowedFd<'_>, &Meta),
        (second, second_meta): (BorrowedFd<'_>, &Meta),
        name: &CStr,
    ) -> Result<Vec<Aspect>, Fault> {
        let mut aspects = inodes(first_meta, second_meta);
        match first_meta.kind {
            FileKind::Symlink if target(first, name)? != target(second, name)? => {
                aspects.push(Aspect::Target);
            }
            FileKind::CharacterDevice | FileKind::BlockDevice
                if first_meta.device != second_meta.device =>
            {
                aspects.push(Aspect::Device(first_meta.device, second_meta.device));
            }
            _ => {}
        }
        let attributes = |reader: &mut AttributeReader, directory| {
            let mut all = Attributes::new();
            reader.read_entry(directory, name, |name, value| {
                all.insert(name.to_vec(), value.to_vec());
            })?;
            Ok::<_, Fault>(all)
        };
        let first = attributes(&mut self.attributes, first)?;
        let second = attributes(&mut self.attributes, second)?;
        aspects.extend(differing(&first, &second));
        Ok(aspects)
    }
}

/// What stat(2) tells of any kind of file.
fn inodes(first: &Meta, second: &Meta) -> Vec<Aspect> {
    let mut aspects = Vec::new();
    // A symlink's differs between filesystems, and nobody can change it.
    if first.mode != second.mode && first.kind != FileKind::Symlink {
        aspects.push(Aspect::Mode(first.mode, second.mode));
    }
    let owners = ((first.uid, first.gid), (second.uid, second.gid));
    if owners.0 != owners.1 {
        aspects.push(Aspect::Owner(owners.0, owners.1));
    }
    if first.modified != second.modified {
        aspects.push(Aspect::Modified(first.modified, second.modified));
    }
    aspects
}

fn differing(first: &Attributes, second: &Attributes) -> Option<Aspect> {
    let names = first.keys().chain(second.keys());
    let mut names: Vec<_> = names
        .filter(|name| first.get(*name) != second.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then_some(Aspect::Attributes(names))
}

fn target(directory: BorrowedFd<'_>, name: &CStr) -> Result<std::ffi::CString, Fault> {
    readlinkat(directory, name, Vec::new()).map_err(|errno| match errno {
        Errno::INVAL => Fault::Changed,
        other => looking("readlinkat")(other),
    })
}
