//! Whom a storage-proxy lets into a tree: its fences, and the writers that come.

use crate::{
    protocol::{Piece, Protocol},
    world::{Fence, Message, OPERATIONS, Operation, Slot, World, Write},
};

impl World {
    /// From now on who comes to write or copy by an older epoch is refused, and who does is cut.
    pub(crate) fn raise_fence(&mut self, p: Protocol, vfolder: u8, epoch: u8) {
        let fence = &mut self.disk.fences[usize::from(vfolder)];
        *fence = (*fence).max(epoch);
        self.cut_clones(p, vfolder, epoch);
        self.cut_work(p, vfolder, epoch);
    }

    fn cut_clones(&mut self, p: Protocol, source: u8, epoch: u8) {
        for (op, slot) in self.operations.iter().zip(&mut self.slots) {
            if let Slot::Running { cut, .. } = slot
                && op.source == Some(source)
                && op.source_epoch < epoch
                && p.has(Piece::SourceCut)
            {
                *cut = true;
            }
        }
    }

    fn cut_work(&mut self, p: Protocol, vfolder: u8, epoch: u8) {
        for (op, slot) in self.operations.iter().zip(&mut self.slots) {
            if let Slot::Running { stage, cut } = slot
                && stage.is_inside()
                && op.target == vfolder
                && op.epoch < epoch
                && p.has(Piece::WorkEnters)
            {
                *cut = true;
            }
        }
    }

    /// Nobody older than the epoch is in the tree to change it.
    pub(crate) fn is_drained(&self, p: Protocol, vfolder: u8, epoch: u8) -> bool {
        let older = |w: &&Write| w.entered && w.vfolder == vfolder && w.epoch < epoch;
        let works = self.works_in(vfolder).any(|op| op.epoch < epoch) && p.has(Piece::WorkEnters);
        !p.has(Piece::Drain) || (!self.writes.iter().any(|w| older(&w)) && !works)
    }

    /// The operations whose tasks are in a tree to change it.
    pub(crate) fn works_in(&self, vfolder: u8) -> impl Iterator<Item = &Operation> {
        let tasks = self.operations.iter().zip(self.slots);
        tasks.filter_map(move |(op, slot)| match slot {
            Slot::Running { stage, .. } if stage.is_inside() && op.target == vfolder => Some(op),
            _ => None,
        })
    }

    /// FenceTree.
    pub(crate) fn fence_tree(&mut self, p: Protocol, fence: Fence) {
        self.raise_fence(p, fence.vfolder, fence.epoch);
        self.net.insert(Message::Drain(fence));
    }

    /// FenceTree is answered, and whoever waits for that.
    pub(crate) fn fenced(&mut self, fence: Fence) {
        let (_, told) = &mut self.trashes[usize::from(fence.vfolder)];
        *told = (*told).max(fence.trash);
    }

    /// A write comes to the storage-proxy.
    pub(crate) fn enter(&mut self, p: Protocol, write: usize) {
        let w = self.writes[write];
        if w.epoch < self.fence(w.vfolder) || self.tree(w.vfolder).is_none() {
            self.writes.remove(write);
            return;
        }
        self.cut_clones(p, w.vfolder, w.epoch);
        self.writes[write].entered = true;
    }

    /// A write reaches the files.
    pub(crate) fn land(&mut self, write: usize) {
        let w = self.writes.remove(write);
        let v = usize::from(w.vfolder);
        if w.trashes < self.trashes[v].1 {
            self.blame("a write lands by a grant older than what a client was told is over");
        }
        for o in 0..self.operations.len().min(OPERATIONS) {
            // Before the first file is read a write does no harm, and is none where nothing fences it.
            let Slot::Running { stage, cut: false } = self.slots[o] else {
                continue;
            };
            let op = self.operations[o];
            if stage.is_copying() && op.source == Some(w.vfolder) {
                self.blame("a write lands in a tree that is being copied");
            }
            if stage.is_inside() && op.target == w.vfolder {
                self.blame("a write lands in a tree that is worked in");
            }
        }
        match &mut self.disk.trees[v] {
            Some(tree) => {
                tree.first += 1;
                tree.second += 1;
            }
            None => self.blame("a write lands in a tree that is gone"),
        }
    }
}
