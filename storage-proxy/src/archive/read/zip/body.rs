//! An entry's data, which has to be what was announced.

use std::io::{self, Read};

use flate2::Crc;

use super::check;
use crate::{
    archive::read::{Broken, CHUNK, Stop},
    tree::Control,
};

pub(super) struct Body<'a> {
    pub inner: Box<dyn Read + 'a>,
    pub name: Vec<u8>,
    /// Bytes that are still to come, as announced.
    pub left: u64,
    pub crc: Crc,
    pub expected: u32,
    pub ended: bool,
    pub control: &'a Control,
}

impl Body<'_> {
    fn broken(&self, why: &str) -> io::Error {
        Stop::from(Broken::entry(&self.name, why)).into()
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check(self.control)?;
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.ended = true;
            // One more, to see that there is none.
            if self.inner.read(&mut [0])? > 0 {
                return Err(self.broken("is larger than it says"));
            }
            if self.crc.sum() != self.expected {
                return Err(self.broken("is damaged: its checksum is wrong"));
            }
            return Ok(0);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = left.min(buffer.len()).min(CHUNK);
        let got = self.inner.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(self.broken("is smaller than it says"));
        }
        self.crc.update(&buffer[..got]);
        self.left -= got as u64;
        Ok(got)
    }
}
