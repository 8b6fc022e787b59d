//! Memory that is there already, for what a run is about to write.
//!
//! A virtual machine may hand free memory back to its host within seconds, and get it again page by page at the first
//! touch, at a tenth of the speed of a copy. That costs each tool the same time, and so blurs what they differ in. So as
//! much memory as a run will need is taken and let go of right before it.

/// Bytes of a piece. Larger ones are all that is handed back.
const PIECE: usize = 128 << 20;
/// What the kernel needs for an entry besides its contents: inode, name, what the filesystem keeps of it.
const OF_ENTRY: u64 = 2 << 10;

/// Touches what a copy of `bytes` in `entries` takes.
pub fn touch(bytes: u64, entries: u64) {
    let pieces = (bytes + entries * OF_ENTRY).div_ceil(PIECE as u64) + 1;
    // Of ones: memory of zeros is not touched.
    let held: Vec<Vec<u8>> = (0..pieces).map(|_| vec![1; PIECE]).collect();
    std::hint::black_box(&held);
}
