//! A writer in the tree who means harm.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, unlinkat};

use super::{
    scene::{DEPTH, Handles, OURS, WIDTH},
    witness::MOVED,
};
use crate::support::Dice;

/// Changes the tree at random until told to stop, and counts what it did. It works through handles on the tree's own
/// directories, so that what happens outside isn't of its doing.
pub fn write(handles: &Handles, seed: u64, stop: &AtomicBool, done: &AtomicU64) {
    let mut writer = Writer {
        handles,
        dice: Dice(seed),
    };
    while !stop.load(Relaxed) {
        let changed = writer.change();
        done.fetch_add(u64::from(changed.is_ok()), Relaxed);
        if writer.dice.roll(8) == 0 {
            thread::yield_now();
        }
    }
}

struct Writer<'a> {
    handles: &'a Handles,
    dice: Dice,
}

impl Writer<'_> {
    /// One change. It fails if another writer was faster, or the tree is gone.
    fn change(&mut self) -> rustix::io::Result<()> {
        let [number, other, file] = [(); 3].map(|()| self.dice.roll(WIDTH));
        let of = |kind: &str, number: usize| format!("{kind}{number}");
        let handles = self.handles;
        let (tree, directory) = (&handles.tree, &handles.directories[number]);
        let swap =
            |at, one: &str, two: &str| renameat_with(at, one, at, two, RenameFlags::EXCHANGE);
        match self.dice.roll(14) {
            0 | 1 => swap(tree, &of("d", number), &of("leak", number)),
            2 | 3 => swap(directory, "sub", "subleak"),
            4 => swap(directory, &of("file", file), &of("fifo", file)),
            5 => swap(directory, &of("file", file), &of("leak", file)),
            6 => swap(directory, &of("file", file), &of("device", file)),
            7 => swap(tree, &of("d", number), &of("d", other)),
            8 => self.move_away(tree, &of("d", number)),
            9 => self.move_up(number),
            10 => self.replace(number, file),
            11 => self.rewrite(),
            _ => self.break_chain(),
        }
    }

    /// Out of the tree and, with luck after somebody has looked for it there, back.
    fn move_away(&mut self, at: &std::os::fd::OwnedFd, name: &str) -> rustix::io::Result<()> {
        let away = format!("{MOVED}{name}");
        renameat(at, name, &self.handles.aside, &away)?;
        self.dally();
        renameat(&self.handles.aside, &away, at, name)
    }

    /// A level up and back.
    fn move_up(&mut self, number: usize) -> rustix::io::Result<()> {
        let (tree, directory) = (&self.handles.tree, &self.handles.directories[number]);
        let up = format!("up{number}");
        renameat(directory, "sub", tree, &up)?;
        self.dally();
        renameat(tree, &up, directory, "sub")
    }

    /// A directory of the chain becomes a symlink, or is away for a while.
    fn break_chain(&mut self) -> rustix::io::Result<()> {
        let level = &self.handles.chain[self.dice.roll(DEPTH - 1)];
        if self.dice.roll(2) == 0 {
            return self.move_away(level, "x");
        }
        let swap = || renameat_with(level, "x", level, "xleak", RenameFlags::EXCHANGE);
        swap()?;
        self.dally();
        swap()
    }

    fn replace(&self, number: usize, file: usize) -> rustix::io::Result<()> {
        let at = &self.handles.subs[number];
        let name = format!("file{file}");
        unlinkat(at, &name, AtFlags::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = File::from(openat(at, &name, flags, Mode::RWXU)?);
        let _ = made.write_all_at(&[OURS; 5000], 0);
        Ok(())
    }

    /// Longer or shorter, whatever its name is by now.
    fn rewrite(&mut self) -> rustix::io::Result<()> {
        let file = &self.handles.files[self.dice.roll(self.handles.files.len())];
        let _ = file.set_len(self.dice.roll(40_000) as u64);
        let _ = file.write_all_at(&[OURS; 3000], self.dice.roll(30_000) as u64);
        Ok(())
    }

    fn dally(&mut self) {
        for _ in 0..self.dice.roll(20) {
            thread::yield_now();
        }
    }
}
