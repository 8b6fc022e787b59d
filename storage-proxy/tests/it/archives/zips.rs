//! Zips made byte by byte, as no program makes them.

use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write as _;
use vfolder_storage_proxy::archive::{Format, Stop};

/// An entry.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    /// As it is in the archive.
    pub data: Vec<u8>,
    pub method: u16,
    pub size: u32,
    pub crc: u32,
    /// With the file's type.
    pub mode: u32,
    pub flags: u16,
    /// Instead of where it is.
    pub offset: Option<u32>,
    /// The name that stands before its data, if it is another.
    pub local: Option<Vec<u8>>,
    /// Instead of the length of `data`.
    pub compressed: Option<u32>,
}

pub fn file(name: impl AsRef<[u8]>, content: &[u8]) -> Entry {
    let mut crc = Crc::new();
    crc.update(content);
    Entry {
        name: name.as_ref().to_vec(),
        data: content.to_vec(),
        method: 0,
        size: u32::try_from(content.len()).unwrap(),
        crc: crc.sum(),
        mode: 0o100_644,
        flags: 0,
        offset: None,
        local: None,
        compressed: None,
    }
}

pub fn deflated(name: &str, content: &[u8]) -> Entry {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    Entry {
        data: encoder.finish().unwrap(),
        method: 8,
        ..file(name, content)
    }
}

fn common(to: &mut Vec<u8>, entry: &Entry, name: &[u8]) {
    for field in [20, entry.flags, entry.method, 0, 0x21] {
        to.extend(field.to_le_bytes());
    }
    let data = u32::try_from(entry.data.len()).unwrap();
    for field in [entry.crc, entry.compressed.unwrap_or(data), entry.size] {
        to.extend(field.to_le_bytes());
    }
    to.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    to.extend(0_u16.to_le_bytes());
}

pub fn zip(entries: &[Entry]) -> Vec<u8> {
    zip_of(entries, u16::try_from(entries.len()).unwrap())
}

/// One that says it has so many.
pub fn zip_of(entries: &[Entry], count: u16) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = u32::try_from(all.len()).unwrap();
        let name = entry.local.as_ref().unwrap_or(&entry.name);
        all.extend(b"PK\x03\x04");
        common(&mut all, entry, name);
        all.extend(name);
        all.extend(&entry.data);
        directory.extend(b"PK\x01\x02");
        directory.extend((3_u16 << 8 | 20).to_le_bytes());
        common(&mut directory, entry, &entry.name);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(entry.offset.unwrap_or(offset).to_le_bytes());
        directory.extend(&entry.name);
    }
    let begin = u32::try_from(all.len()).unwrap();
    all.extend(&directory);
    all.extend(b"PK\x05\x06\0\0\0\0");
    all.extend(count.to_le_bytes());
    all.extend(count.to_le_bytes());
    all.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    all.extend(begin.to_le_bytes());
    all.extend([0; 2]);
    all
}

/// There are writers that know no ZIP64, and have no room for more than 65,535.
#[test]
fn a_zip_whose_count_of_entries_has_wrapped_around_is_read_whole() {
    let entries: Vec<_> = (0..65_540).map(|n| file(n.to_string(), b"")).collect();
    let read = |count| super::mutated::read(&zip_of(&entries, count), Some(Format::Zip));
    assert_eq!(read(4), Ok(65_540));
    assert!(matches!(read(5), Err(Stop::Broken(_))));
}
