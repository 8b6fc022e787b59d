//! DownloadArchive: files as an archive that is made while it is sent.
//!
//! It is made on a thread of its own, which waits for its reader and for nobody else: a slow one holds none of the threads
//! that look at a volume. Of each volume so many archives are made at once.

mod links;
mod pack;
mod sink;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
};
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use self::{
    pack::{Chosen, Failure},
    sink::Sink,
};
use super::{Files, Transfer, in_scope};
use crate::{
    archive::Format,
    refuse,
    task::{Guard, Stay},
    tree::{Control, RelativePath},
};

/// Chunks that are made ahead of a slow reader, each of [`sink::CHUNK`] bytes.
const AHEAD: usize = 3;
/// When to ask again while as many archives are made as may.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// An archive, chunk by chunk. It ends with an error where it could not be made whole; what came before it is then of no
/// use. Dropped, it is made no further.
#[derive(Debug)]
pub struct ArchiveStream {
    chunks: mpsc::Receiver<Chunk>,
    ended: bool,
    _stop: Stop,
}

/// A chunk; nothing after the last one of a whole archive.
type Chunk = Result<Option<Bytes>, Refusal>;

impl Stream for ArchiveStream {
    type Item = Result<Bytes, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.chunks.poll_recv(cx));
        self.ended = !matches!(chunk, Some(Ok(Some(_))));
        Poll::Ready(match chunk {
            Some(chunk) => chunk.transpose(),
            // Half an archive must never look like a whole one.
            None => {
                let text = "the archive broke off, since too little of it was read for too long; ask for it again";
                Some(Err(Refusal::new(Reason::TransferTimeout, text)))
            }
        })
    }
}

/// Ends work that nobody waits for any more.
#[derive(Debug)]
struct Stop(Arc<Control>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Files {
    /// Whether an archive of that could be begun.
    ///
    /// # Errors
    /// GRANT_TOO_SMALL, GRANT_STALE, FILE_NOT_FOUND and others of a path.
    pub async fn look_for_archive(
        &self,
        grant: &Grant,
        paths: Vec<RelativePath>,
    ) -> Result<(), Refusal> {
        let paths = chosen(grant, paths)?;
        self.in_tree(grant.clone(), Stay::Reading, Arc::default(), move |visit| {
            Chosen::look(visit.tree, paths).map(drop)
        })
        .await
    }

    /// An archive of what is at `paths`, and below; of no path at all: of all that the grant is for. Names in it are paths
    /// from the vfolder's root. What is named twice, or is below something else that is named, is in it once.
    ///
    /// # Errors
    /// GRANT_TOO_SMALL, GRANT_STALE, FILE_NOT_FOUND and others of a path, TOO_MANY_REQUESTS. Later, in the stream:
    /// GRANT_STALE, FILE_CHANGED, ARCHIVE_TOO_LARGE (zip), TRANSFER_TIMEOUT, and what reading says.
    pub async fn archive(
        &self,
        grant: &Grant,
        paths: Vec<RelativePath>,
        format: Format,
    ) -> Result<ArchiveStream, Refusal> {
        let paths = chosen(grant, paths)?;
        let transfer = self.begin_transfer(grant.vfolder)?;
        let own = self.archive_turn(grant.vfolder).ok_or_else(|| {
            let text = "as many archives are made of this vfolder as may be at once; try again when one has ended";
            Refusal::new(Reason::TooManyRequests, text).with_retry(RETRY)
        })?;
        let slots = self.tasks().archives(&grant.volume);
        let slots = slots.map_err(|refused| refuse::by_tasks(&refused))?;
        let slot = slots.try_acquire_owned().map_err(|_| {
            let text =
                "as many archives are made on this volume as may be at once; try again in a moment";
            Refusal::new(Reason::TooManyRequests, text).with_retry(RETRY)
        })?;
        let control = Arc::new(Control::default());
        let stop = Stop(Arc::clone(&control));
        let looking = Arc::clone(&control);
        let found = self.stay_in_tree(grant.clone(), Stay::Reading, looking, move |visit| {
            Chosen::look(visit.tree, paths)
        });
        let (chosen, guard) = found.await?;
        let (sender, chunks) = mpsc::channel(AHEAD);
        let making = Making {
            vfolder: grant.vfolder,
            format,
            chosen,
            guard,
            control,
            sender,
            runtime: Handle::current(),
            transfer,
            _slots: [own, slot],
        };
        thread::Builder::new()
            .name("archive".into())
            .spawn(move || making.make())
            .map_err(|error| {
                tracing::warn!(%error, "no thread to make an archive");
                let text = "no more archives can be made at this moment; try again";
                Refusal::new(Reason::TooManyRequests, text).with_retry(RETRY)
            })?;
        Ok(ArchiveStream {
            chunks,
            ended: false,
            _stop: stop,
        })
    }
}

/// What a thread makes.
struct Making {
    vfolder: Uuid,
    format: Format,
    chosen: Chosen,
    guard: Guard,
    control: Arc<Control>,
    sender: mpsc::Sender<Chunk>,
    runtime: Handle,
    transfer: Transfer,
    _slots: [OwnedSemaphorePermit; 2],
}

impl Making {
    fn make(self) {
        let sink = Sink::new(&self.sender, &self.runtime, &self.guard, &self.transfer);
        let last = match pack::pack(&self.chosen, self.format, sink, &self.control) {
            Ok(()) => Ok(None),
            Err(_) if self.guard.is_cut() => Err(super::cut_off(self.vfolder)),
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::Unsent) => return,
        };
        // Whoever waits for the tree need not wait for this reader.
        drop((self.guard, self.chosen));
        let sending = async { self.transfer.patiently(self.sender.send(last)).await };
        // Nobody hears it: then what has arrived does not end as a whole archive does.
        let _ = self.runtime.block_on(sending);
    }
}

/// The paths that the grant is for, each once, without those below others.
fn chosen(grant: &Grant, mut paths: Vec<RelativePath>) -> Result<Vec<RelativePath>, Refusal> {
    if paths.is_empty() {
        let whole = RelativePath::parse(&grant.path);
        paths.push(whole.map_err(|error| Refusal::internal(&error))?);
    }
    for path in &paths {
        in_scope(grant, path)?;
    }
    // What is below a path comes right after it where '/' comes before all else. None has a zero.
    let key = |path: &RelativePath| -> Vec<u8> {
        let bytes = path.as_bytes().iter();
        bytes.map(|b| if *b == b'/' { 0 } else { *b }).collect()
    };
    let mut order: Vec<(Vec<u8>, usize)> = paths.iter().map(key).zip(0..).collect();
    order.sort_unstable();
    let mut last: Option<&[u8]> = None;
    let mut kept = vec![false; paths.len()];
    for (key, place) in &order {
        let rest = last.and_then(|last| Some((last, key.strip_prefix(last)?)));
        if rest.is_some_and(|(last, rest)| last.is_empty() || matches!(rest, [] | [0, ..])) {
            continue;
        }
        last = Some(key);
        if let Some(kept) = kept.get_mut(*place) {
            *kept = true;
        }
    }
    let mut kept = kept.into_iter();
    paths.retain(|_| kept.next().unwrap_or(false));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use vfolder_common::token::GrantMode;

    use super::*;

    fn grant(path: &[u8]) -> Grant {
        Grant {
            vfolder: Uuid::nil(),
            volume: "v".into(),
            mode: GrantMode::ReadOnly,
            epoch: 1,
            subject: String::new(),
            path: path.to_vec(),
            quota: None,
        }
    }

    fn parse(paths: &[&str]) -> Vec<RelativePath> {
        let parsed = paths
            .iter()
            .map(|path| RelativePath::parse(path.as_bytes()));
        parsed.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_is_named_twice_or_below_another_is_chosen_once() {
        let paths = parse(&["a/b", "a", "c", "a-b", "a/b/c", "c"]);
        assert_eq!(
            chosen(&grant(b""), paths).unwrap(),
            parse(&["a", "c", "a-b"])
        );
        assert_eq!(chosen(&grant(b"x/y"), Vec::new()).unwrap(), parse(&["x/y"]));
        let refusal = chosen(&grant(b"x/y"), parse(&["x/y/z", "x"])).unwrap_err();
        assert_eq!(refusal.reason(), Reason::GrantTooSmall);
    }

    proptest! {
        #[test]
        fn what_is_chosen_has_all_and_nothing_twice(paths in prop::collection::vec("([ab-](/[ab-]){0,3})?", 1..12)) {
            let texts: Vec<&str> = paths.iter().map(String::as_str).collect();
            let paths = parse(&texts);
            let mut expected = Vec::new();
            for (place, path) in paths.iter().enumerate() {
                let covered = paths.iter().enumerate().any(|(other, above)| {
                    path.is_below(above) || (above == path && other < place)
                });
                if !covered {
                    expected.push(path.clone());
                }
            }
            prop_assert_eq!(chosen(&grant(b""), paths).unwrap(), expected);
        }
    }
}
