//! Into a tree that no rename leads to: a subvolume of btrfs, a tree with a project quota.
//!
//! A copy is made in the directory where it is to appear, without a name (`O_TMPFILE`), sharing blocks where the
//! filesystem can; then it gets its name by one step. To replace a file it takes a rename, and so a name of its own for a
//! moment, which begins with a dot and has the upload's id. A crash in that moment leaves it there, and the record of the
//! upload says so: it goes with the next attempt, or with the upload.

use std::{ffi::CStr, os::fd::OwnedFd, sync::Arc};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, copy_file_range, fstat, fsync, ioctl_ficlone, linkat, openat,
        unlinkat,
    },
    io::{Errno, pread, pwrite},
    path::DecInt,
};
use vfolder_common::error::Refusal;

use super::{
    commit::{Commit, Ground},
    hidden::{clear_hidden, hidden_name, may_be_left},
    land::{Spot, dress, rename_in},
};
use crate::{
    faults::pass,
    file::Files,
    tree::{Entry, Fault, Meta},
    volume::UploadRecord,
};

/// Copied between two looks whether the tree is still ours.
const STEP: usize = 8 << 20;
const BUFFER: usize = 256 * 1024;

/// A copy that has not appeared yet.
struct Copy {
    spot: Spot,
    file: OwnedFd,
    meta: Meta,
    /// It has a name of its own already: the filesystem knows no files without.
    named: bool,
}

impl Files {
    pub(super) async fn land_copy(&self, commit: &Arc<Commit>) -> Result<Entry, Refusal> {
        let own = Arc::clone(commit);
        let copy = self
            .in_tree_of(commit, move |ground| own.copy(ground))
            .await?;
        let (copy, own) = (Arc::new(copy), Arc::clone(commit));
        let syncing = self.apart(&commit.ending.0.volume, {
            let copy = Arc::clone(&copy);
            move || fsync(&copy.file).map_err(|errno| own.failed("fsync", errno))
        });
        let synced = commit.unless_cut(syncing).await;
        let own = Arc::clone(commit);
        if let Err(refusal) | Ok(Err(refusal)) = synced {
            let discarding = move || own.discard(&copy);
            self.apart(&commit.ending.0.volume, discarding).await?;
            return Err(refusal);
        }
        self.in_tree_of(commit, move |ground| {
            let landed = own.link(ground, &copy);
            if landed.is_err() {
                own.discard(&copy);
            }
            landed
        })
        .await
    }
}

impl Commit {
    fn copy(&self, ground: &Ground<'_>) -> Result<Copy, Refusal> {
        let record = self.ending.0.lock().record.clone();
        let spot = self.spot(ground, &record)?;
        let hidden = hidden_name(self.ending.0.id);
        if may_be_left(&record) {
            clear_hidden(ground.tree, ground.accounts, &self.ending.0, &record);
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let nameless = openat(&spot.parent, c".", flags | OFlags::TMPFILE, mode);
        let (file, named) = match nameless {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let meta = dress(&self.store.data, &spot.container, &record)
                    .map_err(|fault| self.refused(fault))?;
                // Before there is something to clear away.
                self.note_landing(&meta, true)?;
                let made = openat(
                    &spot.parent,
                    &hidden,
                    flags | OFlags::CREATE | OFlags::EXCL,
                    mode,
                );
                (made, true)
            }
            done => (done, false),
        };
        let file = file.map_err(|errno| self.failed("open", errno))?;
        let copied = self
            .copy_bytes(&file)
            .and_then(|()| dress(&file, &spot.container, &self.with_time(&record)?));
        let meta = copied.map_err(|fault| {
            if named {
                let _ = unlinkat(&spot.parent, &hidden, AtFlags::empty());
            }
            self.check_cut()
                .err()
                .unwrap_or_else(|| self.refused(fault))
        })?;
        Ok(Copy {
            spot,
            file,
            meta,
            named,
        })
    }

    /// The copy's time is that of the bytes, unless another was asked for.
    fn with_time(&self, record: &UploadRecord) -> Result<UploadRecord, Fault> {
        let mut record = record.clone();
        if record.modified.is_none() {
            let stat = fstat(&self.store.data).map_err(|errno| Fault::System("fstat", errno))?;
            let meta = Meta::from(stat);
            let (seconds, nanos) = meta.modified;
            record.modified = Some((seconds, u32::try_from(nanos).unwrap_or(0)));
        }
        Ok(record)
    }

    fn copy_bytes(&self, to: &OwnedFd) -> Result<(), Fault> {
        let from = &self.store.data;
        if ioctl_ficlone(to, from).is_ok() {
            return Ok(());
        }
        let (mut at, mut by_kernel) = (0, true);
        let mut buffer = Vec::new();
        while at < self.size {
            self.control.check()?;
            let wanted = usize::try_from(self.size - at).unwrap_or(STEP).min(STEP);
            let (mut read, mut written) = (at, at);
            let copied = match by_kernel {
                true => copy_file_range(from, Some(&mut read), to, Some(&mut written), wanted),
                false => Err(Errno::OPNOTSUPP),
            };
            at += match copied {
                // Some filesystems answer 0 where there is more (copy_file_range(2), BUGS): a read decides.
                Ok(count) if count > 0 => count as u64,
                Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                    return Err(Fault::System("copy_file_range", errno));
                }
                Ok(_) | Err(_) => {
                    by_kernel = false;
                    buffer.resize(BUFFER, 0);
                    copy_by_hand(from, to, at, &mut buffer[..wanted.min(BUFFER)])?
                }
            };
        }
        Ok(())
    }

    /// Gives the copy its name.
    fn link(&self, ground: &Ground<'_>, copy: &Copy) -> Result<Entry, Refusal> {
        let live = &self.ending.0;
        let (replace, passing) = {
            let state = live.lock();
            (state.record.replace, state.record.passing)
        };
        let hidden = hidden_name(live.id);
        let spot = &copy.spot;
        if replace || copy.named || !passing {
            self.note_landing(&copy.meta, true)?;
        }
        self.check_cut()?;
        let replaced = if !replace && !copy.named {
            match name_it(&copy.file, spot, &spot.name) {
                Err(Errno::EXIST) => Err(Fault::Exists),
                done => done
                    .map(|()| None)
                    .map_err(|errno| Fault::System("linkat", errno)),
            }
        } else {
            let named = match copy.named {
                true => Ok(()),
                false => name_it(&copy.file, spot, &hidden),
            };
            pass("upload.hidden");
            named
                .map_err(|errno| Fault::System("linkat", errno))
                .and_then(|()| {
                    let _alone = ground.tree.name_lock().alone();
                    rename_in(&spot.parent, &hidden, spot, replace)
                })
        };
        let replaced = replaced.map_err(|fault| self.refused(fault))?;
        self.landed(ground, spot, (&copy.file, copy.meta), replaced)
    }

    /// Leaves nothing of a copy that is of no use, unless the tree is somebody else's by now.
    fn discard(&self, copy: &Copy) {
        let live = &self.ending.0;
        if self.guard.is_cut() || !may_be_left(&live.lock().record) {
            return;
        }
        let hidden = hidden_name(live.id);
        if let Ok(()) | Err(Errno::NOENT) = unlinkat(&copy.spot.parent, &hidden, AtFlags::empty()) {
            // Not noted, it is looked for once more.
            let _ = live.change_record(&self.store.folder, |record| record.landing = None);
        }
    }
}

/// A name for a file without one: open(2), `O_TMPFILE`. Needs /proc, and no capability.
fn name_it(file: &OwnedFd, spot: &Spot, name: &CStr) -> Result<(), Errno> {
    let number = DecInt::from_fd(file);
    let link = [b"/proc/self/fd/", number.as_bytes()].concat();
    linkat(CWD, link, &spot.parent, name, AtFlags::SYMLINK_FOLLOW)
}

fn copy_by_hand(from: &OwnedFd, to: &OwnedFd, at: u64, buffer: &mut [u8]) -> Result<u64, Fault> {
    let got = loop {
        match pread(from, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            // It has arrived, and yet is not there.
            Ok(0) => return Err(Fault::System("read", Errno::IO)),
            done => break done.map_err(|errno| Fault::System("read", errno))?,
        }
    };
    let mut written = 0;
    while written < got {
        match pwrite(to, &buffer[written..got], at + written as u64) {
            Err(Errno::INTR) => {}
            Ok(0) => return Err(Fault::System("write", Errno::IO)),
            done => written += done.map_err(|errno| Fault::System("write", errno))?,
        }
    }
    Ok(got as u64)
}
