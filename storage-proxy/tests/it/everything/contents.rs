//! Regular files: their sizes, and where they have none of their bytes.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::support::Dice;

/// Around blocks, pages and buffers.
pub fn sizes(at: &Path) {
    let mut dice = Dice(7);
    for size in [
        0, 1, 4095, 4096, 4097, 65_537, 262_144, 262_145, 1_048_577, 3_500_000,
    ] {
        let content: Vec<u8> = (0..size)
            .map(|_| u8::try_from(dice.roll(256)).unwrap())
            .collect();
        fs::write(at.join(size.to_string()), content).unwrap();
    }
}

/// Holes at each end, in the middle, everywhere; and blocks that were never written.
pub fn holes(at: &Path) {
    let sparse = |name: &str, size: u64, data: &[u64]| {
        let file = File::create(at.join(name)).unwrap();
        file.set_len(size).unwrap();
        for offset in data {
            file.write_all_at(&[b'x'; 4096], *offset).unwrap();
        }
        file
    };
    sparse("all-hole", 5 << 20, &[]);
    sparse("trailing", 5 << 20, &[0]);
    sparse("leading", (4 << 20) + 4096, &[4 << 20]);
    sparse("middle", 8 << 20, &[1 << 20, 3 << 20, 3 << 20 | 4096]);
    sparse("odd-size", (2 << 20) + 123, &[1 << 20]);
    let reserved = sparse("reserved", 3 << 20, &[0]);
    if fallocate(&reserved, FallocateFlags::empty(), 1 << 20, 1 << 20).is_err() {
        eprintln!("NOT CHECKED: no fallocate(2) on this filesystem");
    }
}
