//! Where the bytes of two files begin to differ.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, pread};

use crate::tree::{Control, Fault, error::looking, extents::next_extent};

const BUFFER: usize = 256 * 1024;

/// Compares contents, with buffers to be used again and again.
#[derive(Debug)]
pub struct ContentComparer {
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Default for ContentComparer {
    fn default() -> Self {
        Self {
            first: vec![0; BUFFER],
            second: vec![0; BUFFER],
        }
    }
}

impl ContentComparer {
    /// The first of `size` bytes that is not the same; a file that ends before counts as if it ended in zeros. What is a
    /// hole in both is not read.
    pub fn first_difference(
        &mut self,
        (first, second): (&OwnedFd, &OwnedFd),
        size: u64,
        control: &Control,
    ) -> Result<Option<u64>, Fault> {
        let mut at = 0;
        while at < size {
            control.check()?;
            // Asking where its data are costs more than reading it.
            if size > BUFFER as u64 {
                let starts = [first, second].map(|file| next_extent(file, at, size));
                let [one, other] = starts;
                let starts = [one?, other?].into_iter().flatten().map(|(from, _)| from);
                let Some(from) = starts.min() else {
                    break;
                };
                control.bytes_done(from - at);
                at = from;
            }
            let wanted = usize::try_from(size - at).map_or(BUFFER, |left| left.min(BUFFER));
            let (one, other) = (&mut self.first[..wanted], &mut self.second[..wanted]);
            read_full(first, one, at)?;
            read_full(second, other, at)?;
            if one != other {
                let same = one.iter().zip(&*other).take_while(|(a, b)| a == b);
                return Ok(Some(at + same.count() as u64));
            }
            control.bytes_done(wanted as u64);
            at += wanted as u64;
        }
        control.bytes_done(size.saturating_sub(at));
        Ok(None)
    }
}

/// Fills the buffer, with zeros after the end of the file.
fn read_full(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<(), Fault> {
    let mut got = 0;
    while got < buffer.len() {
        match pread(file, &mut buffer[got..], at + got as u64) {
            Err(Errno::INTR) => {}
            Ok(0) => break,
            more => got += more.map_err(looking("read"))?,
        }
    }
    buffer[got..].fill(0);
    Ok(())
}
