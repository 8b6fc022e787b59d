//! tar: ustar and pax (POSIX.1-2001), and GNU's long names.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::{Broken, Found, Kind, Stop, bounded::Source, pax::Records};

pub(super) const BLOCK: usize = 512;
/// Of a pax header, or GNU's long name.
const LONGEST_RECORDS: u64 = 1 << 20;

pub(super) struct Tar<'s> {
    source: &'s mut dyn Source,
}

/// An entry's data.
struct Body<'s> {
    source: &'s mut dyn Source,
    left: u64,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let got = self.source.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        Ok(got)
    }
}

impl<'s> Tar<'s> {
    pub fn new(source: &'s mut dyn Source) -> Self {
        Self { source }
    }

    pub fn each<E: From<Stop>>(
        mut self,
        visit: &mut dyn FnMut(Found, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut records = Records::default();
        while let Some(header) = self.header()? {
            let size = number(header.entry_size(), "size", &header)?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let data = self.records(size)?;
                    records.read(&data).map_err(Stop::from)?;
                }
                EntryType::XGlobalHeader => {
                    let mut all = Records::default();
                    all.read(&self.records(size)?).map_err(Stop::from)?;
                    if !all.is_empty() {
                        let why = "gives all its entries the same name or size";
                        return Err(Stop::from(Broken::archive(why)).into());
                    }
                }
                EntryType::GNULongName => records.path = Some(text(self.records(size)?)),
                EntryType::GNULongLink => records.link_path = Some(text(self.records(size)?)),
                // A label of the archive.
                other if other.as_byte() == b'V' => self.skip(size)?,
                _ => {
                    let records = std::mem::take(&mut records);
                    let size = records.size.unwrap_or(size);
                    let found = found(&header, records, size)?;
                    let mut body = Body {
                        source: self.source,
                        left: size,
                    };
                    visit(found, &mut body)?;
                    let left = body.left;
                    self.source.skip(left)?;
                    self.skip_padding(size)?;
                }
            }
        }
        self.source.finish().map_err(E::from)
    }

    /// Nothing: the archive's end.
    fn header(&mut self) -> Result<Option<Header>, Stop> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        self.source.read_exact(block)?;
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        match is_whole(&header) {
            true => Ok(Some(header)),
            false => Err(Broken::archive("is damaged: a header's checksum is wrong").into()),
        }
    }

    fn records(&mut self, size: u64) -> Result<Vec<u8>, Stop> {
        if size > LONGEST_RECORDS {
            let why = format!("has a header of {size} bytes; {LONGEST_RECORDS} are the most");
            return Err(Broken::archive(why).into());
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        self.source.read_exact(&mut data)?;
        self.skip_padding(size)?;
        Ok(data)
    }

    fn skip(&mut self, size: u64) -> Result<(), Stop> {
        self.source.skip(size)?;
        self.skip_padding(size)
    }

    fn skip_padding(&mut self, size: u64) -> Result<(), Stop> {
        self.source.skip(size.wrapping_neg() % BLOCK as u64)
    }
}

/// Whether this is how a tar begins: with a header, or at once with its end.
pub(super) fn begins(first: &[u8]) -> bool {
    if first.len() < BLOCK {
        return false;
    }
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&first[..BLOCK]);
    first.iter().all(|b| *b == 0) || is_whole(&header)
}

/// The sum of all bytes, where those of the sum itself count as spaces; signed in some old ones.
fn is_whole(header: &Header) -> bool {
    let bytes = header.as_bytes().iter().enumerate();
    let bytes = bytes.map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b });
    let signed: i64 = bytes.clone().map(|b| i64::from(b.cast_signed())).sum();
    let sum: i64 = bytes.map(i64::from).sum();
    header
        .cksum()
        .is_ok_and(|told| [sum, signed].contains(&i64::from(told)))
}

fn found(header: &Header, records: Records, size: u64) -> Result<Found, Stop> {
    let mut name = match records.path {
        Some(path) => path,
        None => header.path_bytes().into_owned(),
    };
    let broken = |why: &str| Stop::from(Broken::entry(&name, why));
    if i64::try_from(size).is_err() {
        return Err(broken("has an absurd size"));
    }
    let target = || match &records.link_path {
        Some(path) => path.clone(),
        None => header
            .link_name_bytes()
            .map(|target| target.into_owned())
            .unwrap_or_default(),
    };
    let kind = match header.entry_type() {
        // Before there was a letter for directories.
        EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target()),
        EntryType::Link => Kind::HardLink(target()),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => {
            return Err(broken("is a device node, and those are not made"));
        }
        EntryType::GNUSparse => {
            return Err(broken(
                "is a sparse file in GNU's own form; make the archive without --sparse",
            ));
        }
        other => {
            let why = format!("is of the unknown type {:?}", char::from(other.as_byte()));
            return Err(broken(&why));
        }
    };
    let mode = number(header.mode().map(u64::from), "mode", header)?;
    let modified = match records.modified {
        Some(time) => time,
        None => {
            let seconds = number(header.mtime(), "time", header)?;
            (i64::try_from(seconds).unwrap_or(i64::MAX), 0)
        }
    };
    if matches!(kind, Kind::Directory) && name.ends_with(b"/") {
        name.pop();
    }
    Ok(Found {
        name,
        size: if kind == Kind::File { size } else { 0 },
        kind,
        mode: u32::try_from(mode & 0o7777).unwrap_or_default(),
        modified,
    })
}

fn number(told: io::Result<u64>, what: &str, header: &Header) -> Result<u64, Stop> {
    told.map_err(|_| {
        Broken::entry(
            &header.path_bytes(),
            format!("has a {what} that is no number"),
        )
        .into()
    })
}

/// Up to the NUL at its end.
fn text(mut data: Vec<u8>) -> Vec<u8> {
    if let Some(end) = data.iter().position(|b| *b == 0) {
        data.truncate(end);
    }
    data
}
