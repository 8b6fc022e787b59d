//! A whole file in one request: an upload that nobody else knows of, and that goes with the request.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle, time::timeout};
use vfolder_common::{error::Refusal, token::Grant};

use super::{
    FileCheck, NewUpload, UploadWriter,
    digest::Digest,
    live::{Live, Phase},
};
use crate::{file::Files, tree::Entry};

/// Who is refused hears of it after this time, though what it has sent is still being removed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes a file that appears when it is [finished](WholeWriter::finish). Dropped before, nothing is left of it.
#[derive(Debug)]
pub struct WholeWriter {
    // Dropped in this order.
    writer: UploadWriter,
    passing: Passing,
    grant: Grant,
    check: FileCheck,
}

/// A file that was written in one request.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The file.
    pub entry: Entry,
    /// Its BLAKE3.
    pub blake3: [u8; 32],
    /// Its bytes.
    pub written: u64,
}

/// An upload of this request alone.
#[derive(Debug)]
struct Passing {
    files: Files,
    live: Arc<Live>,
}

impl Passing {
    /// Ends it and waits until nothing of it is left, but not for a disk that hangs: who is refused finds the room again
    /// that it took, as soon as it knows.
    async fn end(self) {
        if let Some(removal) = self.begin_removal() {
            // It goes on, when it takes longer. Should it have panicked, the sweep clears away.
            let _ = timeout(PATIENCE, removal).await;
        }
    }

    /// In a task of its own: it goes on for whoever does not wait.
    fn begin_removal(&self) -> Option<JoinHandle<()>> {
        {
            let mut state = self.live.lock();
            state.held = false;
            // Else it has ended, or a thread is at it that was not waited for: that, or the sweep, clears it away.
            if !matches!(state.phase, Phase::Open) {
                return None;
            }
            state.phase = Phase::Gone;
        }
        let (files, live) = (self.files.clone(), Arc::clone(&self.live));
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            let (volume, own) = (live.volume.clone(), files.clone());
            let removing = files.tasks().look(&volume, move |volume| {
                volume.get().ok().map(|volume| own.remove_gone(&volume, &live))
            });
            if let Ok(Some(Err(refusal))) = removing.await {
                tracing::warn!(%refusal, "can't remove what is left of a write that broke off; it is swept later");
            }
        }))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = self.begin_removal();
    }
}

impl Files {
    /// Begins to write a file that has to be what `check` says.
    ///
    /// # Errors
    /// Those of [`Files::create_upload`] and [`Files::write_upload`].
    pub async fn write_whole(
        &self,
        grant: &Grant,
        mut new: NewUpload,
        check: FileCheck,
    ) -> Result<WholeWriter, Refusal> {
        new.size = new.size.or(check.size);
        let files = self.clone();
        let hold = move |live| Passing { files, live };
        let passing = self.begin_upload(grant, new, true, hold).await?;
        let live = Arc::clone(&passing.live);
        let digest = Digest::for_check(&check);
        let writer = match self.write_passing(grant, live, digest).await {
            Ok(writer) => writer,
            Err(refusal) => {
                passing.end().await;
                return Err(refusal);
            }
        };
        Ok(WholeWriter {
            writer,
            passing,
            grant: grant.clone(),
            check,
        })
    }
}

impl WholeWriter {
    /// What takes its bytes.
    pub fn writer(&mut self) -> &mut UploadWriter {
        &mut self.writer
    }

    /// It is not to be: returns when nothing is left of it, unless that takes long.
    pub async fn give_up(self) {
        let Self {
            writer, passing, ..
        } = self;
        drop(writer);
        passing.end().await;
    }

    /// That was all: puts the file into the tree.
    ///
    /// # Errors
    /// Those of [`Files::commit_upload`].
    pub async fn finish(self) -> Result<Whole, Refusal> {
        let Self {
            writer,
            passing,
            grant,
            check,
        } = self;
        let written = writer.written();
        let digest = writer.into_digest();
        let blake3 = digest.as_ref().map(Digest::blake3).unwrap_or_default();
        let live = Arc::clone(&passing.live);
        let committing = passing
            .files
            .commit(&grant, move |_| Ok(live), check, digest);
        let entry = match committing.await {
            Ok(entry) => entry,
            Err(refusal) => {
                passing.end().await;
                return Err(refusal);
            }
        };
        Ok(Whole {
            entry,
            blake3,
            written,
        })
    }
}
