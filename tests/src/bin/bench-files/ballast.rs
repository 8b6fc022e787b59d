//! Memory that is there already, for a file that is about to be written.
//!
//! A virtual machine may hand free memory back to its host within seconds, and get it again page by page at the first
//! touch, at a tenth of the speed of a copy. A file that is written to a volume in memory then measures the host. So as
//! much memory as the file takes is held here before, and let go of a little ahead of what is sent. Letting go costs 35 ms
//! for each GiB, whoever receives.

/// Bytes of a piece, which is let go of at once.
const PIECE: usize = 128 << 20;
/// How far ahead of what was sent memory is free.
const AHEAD: u64 = 512 << 20;

/// Memory that is held for a file. The default holds none.
#[derive(Default)]
pub struct Ballast {
    size: u64,
    pieces: Vec<Vec<u8>>,
}

impl Ballast {
    /// Takes what a file of `size` bytes will need.
    pub fn for_file(size: u64) -> Self {
        let pieces = size.div_ceil(PIECE as u64);
        let mut ballast = Self {
            size,
            // Of ones: memory of zeros is not touched.
            pieces: (0..pieces).map(|_| vec![1; PIECE]).collect(),
        };
        ballast.make_room(0);
        ballast
    }

    /// Lets go of what is needed next when `sent` bytes have been sent.
    pub fn make_room(&mut self, sent: u64) {
        let held = self.size.saturating_sub(sent + AHEAD) / PIECE as u64;
        self.pieces
            .truncate(usize::try_from(held).unwrap_or(usize::MAX));
    }
}
