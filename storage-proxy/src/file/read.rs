//! Files that are open for reading.
//!
//! A file is read on threads that may block, a piece at a time, and no thread is held while the client is waited for. Its
//! reader holds a place behind the tree's fence throughout, and each piece is followed by a look whether the file is
//! still what it was: no byte of another version is handed out.

use std::{
    num::NonZeroUsize,
    ops::Range,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use rustix::{
    buffer::spare_capacity,
    fs::{Advice, OFlags, fadvise, fstat},
    io::{Errno, pread},
};
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use super::{Files, Transfer, cut_off, etag, in_scope};
use crate::{
    refuse,
    task::{Guard, Stay},
    tree::{
        Control, Entry, Fault, Meta, RelativePath, StopOnDrop,
        error::{looking, named},
        open::{open_path, open_regular},
    },
};

/// Bytes that are read at once, to be sent in pieces as large or smaller: a change of threads costs about what copying
/// 64 KiB does. Several are in memory for each transfer: one that is read, one ahead, one that is sent, and what tonic and
/// HTTP/2 hold of it.
pub const LARGEST_PIECE: NonZeroUsize = NonZeroUsize::new(512 * 1024).unwrap();
/// Pieces that are read ahead of the client, besides the one that is being sent.
const AHEAD: usize = 1;

/// A regular file, open for reading, and a place in its tree.
#[derive(Debug)]
pub struct OpenFile {
    /// The file, as it was when it was opened.
    pub entry: Entry,
    /// Its etag then; see [`etag`](super::etag()).
    pub etag: String,
    path: RelativePath,
    vfolder: Uuid,
    volume: String,
    file: Arc<OwnedFd>,
    guard: Guard,
    transfer: Transfer,
    files: Files,
}

impl Files {
    /// Opens the file at `path` for reading. It counts as a transfer for as long as it is open.
    ///
    /// # Errors
    /// NOT_A_FILE for anything but a regular file; FILE_NOT_FOUND, SYMLINK_IN_PATH and the like; TOO_MANY_REQUESTS;
    /// GRANT_TOO_SMALL, GRANT_STALE; those of the volume.
    pub async fn open_file(&self, grant: &Grant, path: &RelativePath) -> Result<OpenFile, Refusal> {
        in_scope(grant, path)?;
        let transfer = self.begin_transfer(grant.vfolder)?;
        let Some((above, name)) = path.split_last() else {
            return Err(not_a_file(path));
        };
        let control = Arc::new(Control::default());
        let _stop = StopOnDrop(Arc::clone(&control));
        let (work, own) = (Arc::clone(&control), path.clone());
        let opening = self.stay_in_tree(grant.clone(), Stay::Reading, control, move |visit| {
            let opened = open_path(visit.tree, &above, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(named("open"))
                .and_then(|parent| open_regular(parent, &name, &work));
            let (file, _) = opened.map_err(|fault| refused(fault, &own))?;
            // Only a hint.
            let _ = fadvise(&file, 0, None, Advice::Sequential);
            let meta = Meta::from(fstat(&file).map_err(|errno| failed("fstat", errno, &own))?);
            let (entry, file) = (
                Entry {
                    name,
                    meta,
                    target: None,
                },
                Arc::new(file),
            );
            Ok((entry, file))
        });
        let ((entry, file), guard) = opening.await?;
        Ok(OpenFile {
            etag: etag(&entry.meta),
            entry,
            path: path.clone(),
            vfolder: grant.vfolder,
            volume: grant.volume.clone(),
            file,
            guard,
            transfer,
            files: self.clone(),
        })
    }
}

impl OpenFile {
    /// Its size in bytes when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.meta.size
    }

    /// Up to `most` bytes from `offset` on: fewer only before the end, and none there.
    ///
    /// # Errors
    /// FILE_CHANGED, GRANT_STALE, IO_ERROR.
    pub async fn read_at(&mut self, offset: u64, most: usize) -> Result<Bytes, Refusal> {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = most.min(left);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let (file, path, before) = (Arc::clone(&self.file), self.path.clone(), self.etag.clone());
        let reading = self.files.serve(&self.volume, self.vfolder, move |_| {
            let data =
                read_whole(&file, offset, wanted).map_err(|errno| failed("read", errno, &path))?;
            check_unchanged(&file, &before, &path)?;
            match data.len() == wanted {
                true => Ok(data),
                false => Err(changed(&path)),
            }
        });
        tokio::select! {
            biased;
            () = self.guard.cut() => Err(cut_off(self.vfolder)),
            read = reading => read?,
        }
    }

    /// Whether it is still what it was when it was opened.
    ///
    /// # Errors
    /// FILE_CHANGED, IO_ERROR.
    pub async fn check_unchanged(&self) -> Result<(), Refusal> {
        let (file, path, before) = (Arc::clone(&self.file), self.path.clone(), self.etag.clone());
        let looked = self.files.serve(&self.volume, self.vfolder, move |_| {
            check_unchanged(&file, &before, &path)
        });
        looked.await?
    }

    /// The bytes from `begin` to before `end`, at most `chunk` at once; read ahead of the client a little, and not
    /// at all while the client stands still. What ends it early is its last item, however late the client comes for it: it
    /// never just ends before `end`. Dropping it closes the file.
    pub fn stream(
        self,
        begin: u64,
        end: u64,
        chunk: NonZeroUsize,
    ) -> impl Stream<Item = Result<Bytes, Refusal>> + Send + use<> {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (ending, refused) = oneshot::channel();
        // Whole chunks at once, so that only the last one is shorter.
        let piece = (LARGEST_PIECE.get() / chunk).max(1) * chunk.get();
        tokio::spawn(self.pump(begin..end, piece, sender, ending));
        Pieces {
            pieces,
            refused,
            rest: Bytes::new(),
            chunk,
            left: end.saturating_sub(begin),
        }
    }

    async fn pump(
        mut self,
        range: Range<u64>,
        piece: usize,
        to: Sender<Bytes>,
        ending: oneshot::Sender<Refusal>,
    ) {
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let sent = tokio::select! {
                biased;
                () = to.closed() => return,
                sent = self.send_piece(at, piece.min(left), &to) => sent,
            };
            match sent {
                Ok(0) => break,
                Ok(count) => at += count,
                Err(refusal) => {
                    // Everything is closed before the client hears why, however long that takes; and it is said before
                    // the channel ends.
                    drop(self);
                    let _ = ending.send(refusal);
                    return;
                }
            }
        }
    }

    async fn send_piece(
        &mut self,
        at: u64,
        most: usize,
        to: &Sender<Bytes>,
    ) -> Result<u64, Refusal> {
        let data = self.read_at(at, most).await?;
        let count = data.len() as u64;
        tokio::select! {
            biased;
            () = self.guard.cut() => Err(cut_off(self.vfolder)),
            sent = self.transfer.patiently(to.send(data)) => sent.map(|_| count),
        }
    }
}

/// What [`OpenFile::stream`] hands out.
struct Pieces {
    pieces: Receiver<Bytes>,
    /// Why no more pieces come, if not because that was all.
    refused: oneshot::Receiver<Refusal>,
    rest: Bytes,
    chunk: NonZeroUsize,
    left: u64,
}

impl Stream for Pieces {
    type Item = Result<Bytes, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        // First: whoever has lost the tree gets nothing more of it, also of what was read.
        let mut refused = this.refused.try_recv().ok();
        if refused.is_none() && this.rest.is_empty() {
            match ready!(this.pieces.poll_recv(context)) {
                Some(piece) => this.rest = piece,
                // Since we have looked, maybe.
                None => {
                    let why = this.refused.try_recv();
                    refused = Some(why.unwrap_or_else(|lost| Refusal::internal(&lost)));
                }
            }
        }
        if let Some(refusal) = refused {
            (this.left, this.rest) = (0, Bytes::new());
            this.pieces.close();
            while this.pieces.try_recv().is_ok() {}
            return Poll::Ready(Some(Err(refusal)));
        }
        let next = this.rest.split_to(this.chunk.get().min(this.rest.len()));
        this.left = this.left.saturating_sub(next.len() as u64);
        Poll::Ready(Some(Ok(next)))
    }
}

fn read_whole(file: &OwnedFd, offset: u64, wanted: usize) -> Result<Bytes, Errno> {
    let mut data = Vec::with_capacity(wanted);
    while data.len() < wanted {
        let at = offset + data.len() as u64;
        match pread(file, spare_capacity(&mut data), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // An allocator may give more than it was asked for.
    data.truncate(wanted);
    Ok(data.into())
}

fn check_unchanged(file: &OwnedFd, before: &str, path: &RelativePath) -> Result<(), Refusal> {
    let now = fstat(file).map_err(|errno| failed("fstat", errno, path))?;
    if etag(&Meta::from(now)) == before {
        Ok(())
    } else {
        Err(changed(path))
    }
}

fn changed(path: &RelativePath) -> Refusal {
    let text =
        format!("\"{path}\" was changed while it was read; read it again from the beginning");
    Refusal::new(Reason::FileChanged, text).with_resource("file", path.to_string(), "changed")
}

fn not_a_file(path: &RelativePath) -> Refusal {
    let text = format!("\"{path}\" is not a regular file; only those can be read");
    Refusal::new(Reason::NotAFile, text).with_resource("file", path.to_string(), "no regular file")
}

fn refused(fault: Fault, path: &RelativePath) -> Refusal {
    match fault {
        Fault::Changed => not_a_file(path),
        // It may never have been there.
        Fault::Gone => refuse::by_fault(Fault::NotFound, &path.to_string()),
        other => refuse::by_fault(other, &path.to_string()),
    }
}

fn failed(call: &'static str, errno: Errno, path: &RelativePath) -> Refusal {
    refuse::by_fault(looking(call)(errno), &path.to_string())
}
