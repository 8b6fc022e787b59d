//! A file's bytes. What reads as zeros doesn't count but by the file's size, so that it is the same whether it was
//! written or is a hole, and on whatever filesystem.

use super::domain::{BLOCK, CONTENT, Function, Hash};

/// Bytes of a block: blocks are aligned, and left out where they are all zeros.
pub const BLOCK_SIZE: usize = 64 * 1024;

/// The digest of a file's content, from its bytes in ascending order.
#[derive(Debug)]
pub struct ContentHasher {
    blocks: Function,
    block: Function,
    /// The block that `started` belongs to.
    index: u64,
    /// A block's bytes from its begin, as far as they have come; empty between blocks.
    started: Vec<u8>,
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self {
            blocks: Function::new(CONTENT),
            block: Function::new(BLOCK),
            index: 0,
            started: Vec::new(),
        }
    }
}

impl ContentHasher {
    /// Takes in `bytes`, which are at `offset`: not before the end of what came last. What lies between is zeros.
    pub fn update(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let index = offset / BLOCK_SIZE as u64;
            // Below BLOCK_SIZE.
            let within = (offset % BLOCK_SIZE as u64) as usize;
            if index != self.index {
                self.end_block(BLOCK_SIZE);
                self.index = index;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_SIZE - within));
            if now.len() == BLOCK_SIZE {
                self.add_block(index, now);
            } else {
                self.started.resize(within, 0);
                self.started.extend_from_slice(now);
            }
            offset += now.len() as u64;
            bytes = rest;
        }
    }

    /// The digest of a file of `size` bytes, at least as many as reach to the end of what came. Begins anew.
    pub fn finish(&mut self, size: u64) -> Hash {
        let left = size.saturating_sub(self.index * BLOCK_SIZE as u64);
        self.end_block(usize::try_from(left).map_or(BLOCK_SIZE, |left| left.min(BLOCK_SIZE)));
        self.index = 0;
        self.blocks.finish()
    }

    /// Ends the block that was begun, if any: it has `length` bytes.
    fn end_block(&mut self, length: usize) {
        if self.started.is_empty() {
            return;
        }
        let mut block = std::mem::take(&mut self.started);
        block.resize(length, 0);
        self.add_block(self.index, &block);
        block.clear();
        self.started = block;
    }

    fn add_block(&mut self, index: u64, block: &[u8]) {
        if is_zero(block) {
            return;
        }
        let hash = self.block.update(block).finish();
        self.blocks.update(&index.to_le_bytes()).update(&hash);
    }
}

/// A kibibyte at a time, so that the compiler makes vectors of it.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(1024)
        .all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const B: usize = BLOCK_SIZE;

    fn whole(bytes: &[u8]) -> Hash {
        let mut hasher = ContentHasher::default();
        hasher.update(0, bytes);
        hasher.finish(bytes.len() as u64)
    }

    /// A file with zeros at many places, about as long as a few blocks.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            (1..B * 2).prop_map(|length| vec![0; length]),
            (1..B * 2, 1..=255u8).prop_map(|(length, byte)| vec![byte; length]),
            proptest::collection::vec(any::<u8>(), 1..50),
        ];
        proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_does_not_matter_in_what_pieces_the_bytes_come_or_which_zeros_do(
            file in file(),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
            cuts.extend([0, file.len()]);
            cuts.sort_unstable();
            let mut hasher = ContentHasher::default();
            for cut in cuts.windows(2) {
                let piece = &file[cut[0]..cut[1]];
                if piece.iter().any(|byte| *byte != 0) {
                    hasher.update(cut[0] as u64, piece);
                }
            }
            prop_assert_eq!(hasher.finish(file.len() as u64), whole(&file));
        }

        #[test]
        fn a_byte_changed_anywhere_is_another_content(file in file(), at in any::<prop::sample::Index>()) {
            prop_assume!(!file.is_empty());
            let mut other = file.clone();
            other[at.index(file.len())] ^= 1;
            prop_assert_ne!(whole(&file), whole(&other));
        }

        #[test]
        fn one_hasher_serves_many_files(one in file(), other in file()) {
            let mut hasher = ContentHasher::default();
            hasher.update(0, &one);
            hasher.finish(one.len() as u64);
            hasher.update(0, &other);
            prop_assert_eq!(hasher.finish(other.len() as u64), whole(&other));
        }
    }

    #[test]
    fn where_a_block_lies_counts() {
        let mut moved = vec![0; B];
        moved.extend([7; B]);
        moved.extend([0; B]);
        let mut there = vec![7; B];
        there.extend([0; 2 * B]);
        assert_ne!(whole(&moved), whole(&there));
    }
}
