//! tar, in the pax interchange format (POSIX.1-2001, pax(1)): ustar headers, and before those records for what they have
//! no room for: long names and such that are not ASCII, fractions of seconds, sizes of 8 GiB and above, large ids.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use crate::archive::{Entry, What};

const BLOCK: usize = 512;
/// In a ustar header.
const LONGEST_NAME: usize = 100;
/// Eleven octal digits.
const LARGEST_SIZE: u64 = 0o777_7777_7777;
/// Seven octal digits.
const LARGEST_ID: u32 = 0o777_7777;

pub(super) struct Tar<W> {
    to: W,
}

impl<W: Write> Tar<W> {
    pub fn new(to: W) -> Self {
        Self { to }
    }

    pub fn entry(
        &mut self,
        entry: &Entry<'_>,
        data: &mut dyn Read,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let mut name = entry.name.to_vec();
        let (kind, target, size) = match entry.what {
            What::File { size } => (EntryType::Regular, None, size),
            What::Directory => {
                name.push(b'/');
                (EntryType::Directory, None, 0)
            }
            What::Symlink(target) => (EntryType::Symlink, Some(target), 0),
            What::HardLink(target) => (EntryType::Link, Some(target), 0),
            What::Fifo => (EntryType::Fifo, None, 0),
        };
        let records = records(entry, &name, target, size);
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            put(&mut header.as_old_mut().name, b"PaxHeader");
            header.set_mode(0o644);
            self.block(header, EntryType::XHeader, records.len() as u64)?;
            self.to.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut header = Header::new_ustar();
        put(&mut header.as_old_mut().name, &name);
        if let Some(target) = target {
            put(&mut header.as_old_mut().linkname, target);
        }
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.min(LARGEST_ID).into());
        header.set_gid(entry.gid.min(LARGEST_ID).into());
        header.set_mtime(header_time(entry.modified.0));
        self.block(header, kind, size)?;
        super::copy(data, size, buffer, &mut self.to, |_| {})?;
        self.pad(size)
    }

    /// Two blocks of zeros.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn block(&mut self, mut header: Header, kind: EntryType, size: u64) -> io::Result<()> {
        header.set_entry_type(kind);
        // Above eight octal digits: base 256, which all readers of today know, pax records or not.
        header.set_size(size);
        header.set_cksum();
        self.to.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        match over {
            0 => Ok(()),
            over => self.to.write_all(&[0; BLOCK][over..]),
        }
    }
}

fn records(entry: &Entry<'_>, name: &[u8], target: Option<&[u8]>, size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let (long_name, long_target) = (needs_record(name), target.filter(|t| needs_record(t)));
    let texts = [long_name.then_some(name), long_target];
    if texts
        .iter()
        .flatten()
        .any(|t| std::str::from_utf8(t).is_err())
    {
        // Before the names that it is about: they are bytes, and not UTF-8.
        record(&mut records, "hdrcharset", b"BINARY");
    }
    for (key, text) in ["path", "linkpath"].into_iter().zip(texts) {
        if let Some(text) = text {
            record(&mut records, key, text);
        }
    }
    if size > LARGEST_SIZE {
        record(&mut records, "size", size.to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > LARGEST_ID {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanos) = entry.modified;
    if nanos != 0 || i64::try_from(header_time(seconds)) != Ok(seconds) {
        record(&mut records, "mtime", time(seconds, nanos).as_bytes());
    }
    records
}

fn needs_record(text: &[u8]) -> bool {
    text.len() > LONGEST_NAME || !text.is_ascii()
}

/// "<length> <key>=<value>\n", its own digits counted in the length.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// As far as a header goes.
fn header_time(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).min(LARGEST_SIZE)
}

fn time(seconds: i64, nanos: i64) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, part) = (
        total.unsigned_abs() / 1_000_000_000,
        total.unsigned_abs() % 1_000_000_000,
    );
    format!("{sign}{whole}.{part:09}")
}

/// As much as there is room for.
fn put(field: &mut [u8], text: &[u8]) {
    let most = text.len().min(field.len());
    field[..most].copy_from_slice(&text[..most]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_its_own_digits() {
        for length in [0, 1, 85, 86, 87, 88, 89, 984, 985, 986, 987, 9_990] {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'a'; length]);
            let told = records.split(|b| *b == b' ').next();
            let told = told.and_then(|t| std::str::from_utf8(t).ok()?.parse().ok());
            assert_eq!(told, Some(records.len()));
        }
    }

    #[test]
    fn times_before_1970_count_down() {
        assert_eq!(time(-1, 250_000_000), "-0.750000000");
        assert_eq!(time(-2, 0), "-2.000000000");
        assert_eq!(time(3, 1), "3.000000001");
    }
}
