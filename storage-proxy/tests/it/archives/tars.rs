//! Tars made header by header, as no program makes them.

use tar::{EntryType, Header};

/// Type, name, target, content.
pub type Member<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

pub fn tar(entries: &[Member<'_>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, name, target, content) in entries {
        member(&mut all, *kind, name, target, content, content.len() as u64);
    }
    all.extend([0; 1024]);
    all
}

pub fn member(all: &mut Vec<u8>, kind: u8, name: &[u8], target: &[u8], content: &[u8], size: u64) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o6755);
    header.set_mtime(1);
    header.set_size(size);
    header.set_cksum();
    all.extend(header.as_bytes());
    all.extend(content);
    all.resize(all.len().next_multiple_of(512), 0);
}

/// One whose name is told by a pax header.
pub fn named(name: &[u8]) -> Vec<u8> {
    let mut length = name.len() + 7;
    while length != name.len() + 7 + length.to_string().len() {
        length = name.len() + 7 + length.to_string().len();
    }
    let record = [format!("{length} path=").as_bytes(), name, b"\n"].concat();
    tar(&[(b'x', b"pax", b"", &record), (b'0', b"short", b"", b"x")])
}

pub fn sized(size: u64) -> Vec<u8> {
    let mut all = Vec::new();
    member(&mut all, b'0', b"absurd", b"", b"x", size);
    all.extend([0; 1024]);
    all
}

pub fn with_pax(record: &[u8]) -> Vec<u8> {
    tar(&[(b'x', b"pax", b"", record), (b'0', b"a", b"", b"x")])
}

pub const GOOD: Member<'_> = (b'0', b"good", b"", b"good");
