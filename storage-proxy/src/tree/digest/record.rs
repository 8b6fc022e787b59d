//! What is hashed of an inode and of a path. Every field has a fixed width or its length before it, so that no two
//! different inputs are the same bytes.

use std::ffi::CStr;

use super::domain::{ATTRIBUTES, BODY, Function, Hash, NAME};
use crate::tree::{FileKind, Meta};

/// What an inode holds besides what stat(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A regular file's: its size, as far as it was read, and the digest of its bytes.
    Bytes(u64, Hash),
    /// A symlink's target.
    Target(&'a [u8]),
    /// Nothing, or nothing but a device's number.
    Nothing,
}

/// An inode without its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// The digest of it.
    pub(super) hash: Hash,
    /// A regular file's size, else 0.
    pub(super) bytes: u64,
}

/// A path from the tree's root, whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathDigest(pub(super) Hash);

/// Hashes bodies and paths.
#[derive(Debug)]
pub struct Records {
    name: Function,
    body: Function,
    attributes: Function,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            name: Function::new(NAME),
            body: Function::new(BODY),
            attributes: Function::new(ATTRIBUTES),
        }
    }
}

impl Records {
    /// The root's path.
    pub fn root(&mut self) -> PathDigest {
        PathDigest(self.name.finish())
    }

    /// The path of the entry `name` of the directory at `parent`.
    pub fn path(&mut self, parent: &PathDigest, name: &CStr) -> PathDigest {
        PathDigest(self.name.update(&parent.0).update(name.to_bytes()).finish())
    }

    /// Takes in an extended attribute of the inode whose [`Records::body`] comes next. They come by ascending name.
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, value] {
            self.attributes.update(&(part.len() as u64).to_le_bytes());
            self.attributes.update(part);
        }
    }

    /// The digest of the extended attributes that have come.
    pub fn attributes(&mut self) -> Hash {
        self.attributes.finish()
    }

    /// The body of an inode.
    pub fn body(&mut self, meta: &Meta, attributes: &Hash, content: Content<'_>) -> Body {
        let mode = match meta.kind {
            // It has none of its own; what stat(2) says differs between filesystems.
            FileKind::Symlink => 0,
            _ => meta.mode,
        };
        let (seconds, nanoseconds) = meta.modified;
        self.body
            .update(&[tag(meta.kind)])
            .update(&mode.to_le_bytes())
            .update(&meta.uid.to_le_bytes())
            .update(&meta.gid.to_le_bytes())
            .update(&seconds.to_le_bytes())
            .update(&nanoseconds.to_le_bytes())
            .update(attributes);
        let mut bytes = 0;
        match content {
            Content::Bytes(size, hash) => {
                self.body.update(&size.to_le_bytes()).update(&hash);
                bytes = size;
            }
            Content::Target(target) => {
                self.body.update(target);
            }
            Content::Nothing => {}
        }
        if matches!(meta.kind, FileKind::CharacterDevice | FileKind::BlockDevice) {
            let (major, minor) = device_numbers(meta.device);
            self.body
                .update(&major.to_le_bytes())
                .update(&minor.to_le_bytes());
        }
        Body {
            hash: self.body.finish(),
            bytes,
        }
    }
}

fn device_numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// As in the file type of stat(2), the letters of find(1)'s `-type`.
fn tag(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => b'f',
        FileKind::Directory => b'd',
        FileKind::Symlink => b'l',
        FileKind::Fifo => b'p',
        FileKind::Socket => b's',
        FileKind::CharacterDevice => b'c',
        FileKind::BlockDevice => b'b',
        FileKind::Unknown => b'?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::meta::FileId;

    /// What a body is made of; with so few values that equal and nearly equal ones come often.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Input {
        kind: FileKind,
        numbers: [u8; 4],
        seconds: i64,
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        target: Vec<u8>,
        size: u64,
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..3u8, 0..4)
    }

    fn input() -> impl Strategy<Value = Input> {
        let kind = prop_oneof![
            Just(FileKind::Regular),
            Just(FileKind::Directory),
            Just(FileKind::Symlink),
            Just(FileKind::Fifo),
            Just(FileKind::Socket),
            Just(FileKind::CharacterDevice),
            Just(FileKind::BlockDevice),
        ];
        let attributes = proptest::collection::btree_map(text(), text(), 0..3);
        (
            kind,
            any::<[bool; 4]>(),
            -1..2i64,
            attributes,
            text(),
            0..2u64,
        )
            .prop_map(|(kind, numbers, seconds, attributes, target, size)| Input {
                kind,
                numbers: numbers.map(u8::from),
                seconds,
                attributes: attributes.into_iter().collect(),
                // Only what the kind has counts.
                target: if kind == FileKind::Symlink {
                    target
                } else {
                    Vec::new()
                },
                size: if kind == FileKind::Regular { size } else { 0 },
            })
    }

    fn body(records: &mut Records, input: &Input) -> Hash {
        let [mode, uid, gid, nanoseconds] = input.numbers;
        let meta = Meta {
            id: FileId { dev: 1, ino: 1 },
            kind: input.kind,
            mode: mode.into(),
            uid: uid.into(),
            gid: gid.into(),
            links: 1,
            size: 77,
            disk_bytes: 77,
            device: 0,
            accessed: (7, 7),
            modified: (input.seconds, nanoseconds.into()),
            changed: (8, 8),
        };
        for (name, value) in &input.attributes {
            records.attribute(name, value);
        }
        let attributes = records.attributes();
        let content = match input.kind {
            FileKind::Regular => Content::Bytes(input.size, [0; 32]),
            FileKind::Symlink => Content::Target(&input.target),
            _ => Content::Nothing,
        };
        records.body(&meta, &attributes, content).hash
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn two_bodies_are_the_same_only_if_all_of_them_is(one in input(), mut other in input(), same in any::<bool>()) {
            if same {
                // One field differs, or none.
                other = Input { attributes: other.attributes, ..one.clone() };
            }
            if one.kind == FileKind::Symlink && other.kind == FileKind::Symlink {
                other.numbers[0] = one.numbers[0];
            }
            let mut records = Records::default();
            let hashes = (body(&mut records, &one), body(&mut records, &other));
            prop_assert_eq!(one == other, hashes.0 == hashes.1);
        }

        #[test]
        fn two_paths_are_the_same_only_if_all_their_names_are(
            one in proptest::collection::vec("[ab]{1,3}", 0..4),
            other in proptest::collection::vec("[ab]{1,3}", 0..4),
        ) {
            let mut records = Records::default();
            let mut path = |names: &[String]| {
                let mut at = records.root();
                for name in names {
                    at = records.path(&at, &std::ffi::CString::new(name.as_str()).unwrap_or_default());
                }
                at
            };
            prop_assert_eq!(one == other, path(&one) == path(&other));
        }
    }
}
