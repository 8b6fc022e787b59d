//! The fault points of the storage-proxy: before and after each durable step. See [`vfolder_common::fault`].
//!
//! An error that is asked for at a point is treated as if the step before or after it had failed so. Where that can't be
//! (the step is done and can't be taken back), it is ignored.

use rustix::io::Errno;
use vfolder_common::fault;

/// All of them. A test dies at each.
pub const POINTS: &[&str] = &[
    // Creating a tree: before anything; after its journal, its empty tree in staging, the place for it, its rename.
    "create.begin",
    "create.journalled",
    "create.staged",
    "create.placed",
    "create.published",
    // Cloning: before anything; after its journal, the fence of its source, the staging directory; before each entry;
    // after the last, the copy's digest, the place for the tree; before the sync of all that; after it, its totals in the
    // journal, its rename.
    "clone.begin",
    "clone.journalled",
    "clone.fenced",
    "clone.staged",
    "clone.copying",
    "clone.copied",
    "clone.digested",
    "clone.placed",
    "clone.syncing",
    "clone.synced",
    "clone.totalled",
    "clone.published",
    // Before a clone syncs what it has so far; after it has noted where to go on from.
    "clone.noting",
    "clone.noted",
    // The rename that makes a tree visible: before it, after it, after both directories are synced.
    "publish.begin",
    "publish.renamed",
    "publish.synced",
    // Purging: before anything; after its journal, its fence, the tree's way out of sight.
    "purge.begin",
    "purge.journalled",
    "purge.fenced",
    "purge.hidden",
    // Working inside a tree: before anything; after its journal, the fence of the tree, the look at all that can make it
    // fail, the note of that; before each entry; after the last, the sync of all; after its totals are in the journal.
    "inside.begin",
    "inside.journalled",
    "inside.fenced",
    "inside.checked",
    "inside.noted",
    "inside.entry",
    "inside.worked",
    "inside.synced",
    "inside.done",
    // Before what replaces something, and has a hidden name until then, gets its own.
    "put.hidden",
    // A tree's or a staging's way into the trash: before the rename, after it, after both directories are synced.
    "trash.begin",
    "trash.renamed",
    "trash.synced",
    // MoveFile: before the rename that replaces nothing. RemoveFiles: before a directory is synced of which something went.
    "files.moving",
    "files.removed",
    // Before each file that is destroyed, wherever it is; before each part of a huge one's space that is given back.
    "remove.entry",
    "remove.step",
    // Before a task's end is told.
    "task.answer",
    // A journal entry: before and after it is written, before and after it is removed.
    "journal.write",
    "journal.written",
    "journal.remove",
    "journal.removed",
    // A fence: before and after it is noted; before whoever raised it is answered.
    "fence.note",
    "fence.noted",
    "fence.answer",
    // A failure that lasts: before and after it is in the journal.
    "verdict.note",
    "verdict.noted",
    // Cancelling what is not published: before anything, after its staging is away, after its target is fenced, before
    // the answer.
    "cancel.begin",
    "cancel.cleared",
    "cancel.retired",
    "cancel.answer",
    // Forgetting: before anything, after its staging is away, after the target of one that failed is fenced, before the
    // answer.
    "forget.begin",
    "forget.cleared",
    "forget.retired",
    "forget.answer",
    // Opening a volume: after the lock is taken, after the holder is written into it, at the end.
    "open.locked",
    "open.held",
    "open.opened",
    // Uploads: after the files of one are made, before it is noted what it is; before its size is noted, where that was not
    // known before; after bytes are written, after they are noted; after they are synced, before that is noted.
    "upload.made",
    "upload.announce",
    "upload.written",
    "upload.noted",
    "upload.synced",
    // A commit: after it is noted how the file lands; after a copy has a name of its own; after the file is in the tree,
    // before that is durable; after it is remembered.
    "upload.landing",
    "upload.hidden",
    "upload.landed",
    "upload.remembered",
    // Giving back the space of one thing in the trash: before and after.
    "reclaim.begin",
    "reclaim.done",
];

/// Stands at a point before or after a step that can fail.
///
/// # Errors
/// What the environment asks for.
#[inline(always)]
pub fn at(point: &'static str) -> Result<(), Errno> {
    debug_assert!(POINTS.contains(&point), "{point} is not in the list");
    fault::point(point).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Stands at a point after which there is nothing left that could fail.
#[inline(always)]
pub fn pass(point: &'static str) {
    let _ = at(point);
}
