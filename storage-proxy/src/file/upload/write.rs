//! Bytes that arrive.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use uuid::Uuid;
use vfolder_common::{error::Refusal, token::Grant};

use super::{
    Start, UploadState,
    digest::Digest,
    live::{Live, Store, Writer, total},
    refused::busy,
};
use crate::{
    file::{Files, Transfer, cut_off},
    refuse,
    task::{Guard, Stay},
};

/// Bytes that may be lost in a power cut: as soon as so many have arrived, they are synced.
const CHECKPOINT: u64 = 64 << 20;
/// The same when a stream ends: what comes in small pieces is not synced after each.
const CHECKPOINT_AT_END: u64 = 16 << 20;

static WRITERS: AtomicU64 = AtomicU64::new(0);

/// Writes to an upload from one offset on. What has arrived stays when it is dropped.
#[derive(Debug)]
pub struct UploadWriter {
    files: Files,
    session: Arc<Session>,
    at: u64,
    written: u64,
    digest: Option<Digest>,
    /// Nothing counts before it has ended well.
    whole: bool,
}

/// What a writer holds. Threads that are writing hold it too, so that nothing of it ends before they do.
#[derive(Debug)]
struct Session {
    // Dropped in this order.
    turn: Turn,
    store: Arc<Store>,
    guard: Guard,
    transfer: Transfer,
}

/// A place among the upload's writers.
#[derive(Debug)]
struct Turn {
    live: Arc<Live>,
    number: u64,
    /// How many syncs had failed when it came.
    losses: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.writers.retain(|writer| writer.number != self.number);
    }
}

impl Files {
    /// Comes in to write to the upload `id`, from `start` on. It counts as a transfer until it is dropped.
    ///
    /// # Errors
    /// UPLOAD_NOT_FOUND, UPLOAD_COMMITTED; UPLOAD_BUSY: somebody else has begun to write there. FIELD_INVALID: nobody
    /// can begin there. TOO_MANY_REQUESTS, GRANT_TOO_SMALL, GRANT_STALE, those of the volume.
    pub async fn write_upload(
        &self,
        grant: &Grant,
        id: Uuid,
        start: Start,
    ) -> Result<UploadWriter, Refusal> {
        let transfer = self.begin_transfer(grant.vfolder)?;
        self.write_upload_in(transfer, grant, id, start).await
    }

    /// As [`Files::write_upload`], for whoever has a place among the transfers.
    ///
    /// # Errors
    /// As there, but for TOO_MANY_REQUESTS.
    pub async fn write_upload_in(
        &self,
        transfer: Transfer,
        grant: &Grant,
        id: Uuid,
        start: Start,
    ) -> Result<UploadWriter, Refusal> {
        let (files, scope) = (self.clone(), grant.clone());
        let coming = self.stay_in_tree(grant.clone(), Stay::Writing, Arc::default(), {
            move |visit| {
                let live = files.find_upload(visit, &scope, id)?;
                let (turn, at) = take_turn(live, start)?;
                let store = turn.live.store(visit.volume)?;
                Ok((turn, store, at))
            }
        });
        let ((turn, store, at), guard) = coming.await?;
        let session = Session {
            turn,
            store,
            guard,
            transfer,
        };
        Ok(UploadWriter::new(self.clone(), session, at, None))
    }

    /// As [`Files::write_upload`], from the beginning, to one that is passing. What is written is digested, too.
    pub(super) async fn write_passing(
        &self,
        grant: &Grant,
        live: Arc<Live>,
        digest: Digest,
    ) -> Result<UploadWriter, Refusal> {
        let transfer = self.begin_transfer(grant.vfolder)?;
        let coming = self.stay_in_tree(grant.clone(), Stay::Writing, Arc::default(), {
            move |visit| {
                let (turn, _) = take_turn(live, Start::At(0))?;
                let store = turn.live.store(visit.volume)?;
                Ok((turn, store))
            }
        });
        let ((turn, store), guard) = coming.await?;
        let session = Session {
            turn,
            store,
            guard,
            transfer,
        };
        Ok(UploadWriter::new(self.clone(), session, 0, Some(digest)))
    }
}

fn take_turn(live: Arc<Live>, start: Start) -> Result<(Turn, u64), Refusal> {
    let mut state = live.lock();
    state.check_open(live.id)?;
    let next = state.arrived.prefix();
    let at = match start {
        Start::Next => next,
        Start::At(at) => at,
        Start::Resumed(at) if at == next => {
            state
                .writers
                .retain(|w| w.at_work || !(w.begin..=w.end).contains(&at));
            at
        }
        Start::Resumed(_) => {
            let text = format!("must be {next}, which is how far the upload is");
            return Err(Refusal::field("offset", text));
        }
    };
    if let Some(size) = state.size().filter(|size| at > *size) {
        let text = format!("must be within the upload, which was announced with {size} bytes");
        return Err(Refusal::field("offset", text));
    }
    let number = WRITERS.fetch_add(1, Relaxed);
    if state.is_taken(number, &(at..at.saturating_add(1))) {
        return Err(busy(
            live.id,
            "somebody else writes this part of the upload",
        ));
    }
    state.writers.push(Writer {
        number,
        begin: at,
        end: at,
        at_work: false,
    });
    let losses = state.losses;
    drop(state);
    let turn = Turn {
        live,
        number,
        losses,
    };
    Ok((turn, at))
}

impl UploadWriter {
    fn new(files: Files, session: Session, at: u64, digest: Option<Digest>) -> Self {
        Self {
            files,
            session: Arc::new(session),
            at,
            written: 0,
            digest,
            whole: false,
        }
    }

    /// Lets what it writes from now on count whole or not at all: by [`UploadWriter::finish`], and otherwise nothing of it
    /// has arrived. For bytes that are only known to be the right ones when the last of them has come.
    #[must_use]
    pub fn whole_or_nothing(self) -> Self {
        Self {
            whole: true,
            written: 0,
            ..self
        }
    }

    /// Where the next bytes go.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// How many bytes it has written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Waits for the client, but no longer than a transfer may stand still, and no longer than the tree is ours.
    ///
    /// # Errors
    /// TRANSFER_TIMEOUT, GRANT_STALE.
    pub async fn patiently<T>(&self, client: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            () = self.session.guard.cut() => Err(self.cut_off()),
            came = self.session.transfer.patiently(client) => came,
        }
    }

    /// Writes `data` where the last ended. It has arrived when this returns: the end of the process takes nothing of it
    /// away.
    ///
    /// # Errors
    /// FIELD_INVALID beyond the upload's size; UPLOAD_BUSY where somebody else writes; UPLOAD_NOT_FOUND once it was given
    /// up; VOLUME_FULL, QUOTA_EXCEEDED, COUNT_EXCEEDED (too many gaps), GRANT_STALE. What had arrived stays.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Refusal> {
        self.write_all(vec![data]).await
    }

    /// As [`UploadWriter::write`], several pieces at once, one after the other: cheaper than one by one.
    ///
    /// # Errors
    /// As there; what had arrived may end within a piece.
    pub async fn write_all(&mut self, data: Vec<Bytes>) -> Result<(), Refusal> {
        let (session, at, count) = (Arc::clone(&self.session), self.at, total(&data));
        if count == 0 {
            return Ok(());
        }
        let (mut digest, whole) = (self.digest.take(), self.whole);
        let (name, vfolder) = (&self.live().volume, self.live().vfolder);
        let accounts = self.files.tasks().accounts(name);
        let accounts = accounts.map_err(|refused| refuse::by_tasks(&refused))?;
        let writing = self.files.serve(name, vfolder, move |volume| {
            if session.guard.is_cut() {
                return Err(cut_off(session.turn.live.vfolder));
            }
            let Turn { live, number, .. } = &session.turn;
            let written = match whole {
                true => live.write_uncounted(&session.store, *number, at, &data),
                false => live.write(&session.store, *number, at, &data),
            };
            written.map_err(|refusal| match volume.get() {
                Ok(volume) => accounts.explain(&volume, live.vfolder, refusal),
                Err(_) => refusal,
            })?;
            if let Some(digest) = &mut digest {
                data.iter().for_each(|piece| digest.update(piece));
            }
            Ok(digest)
        });
        let written = tokio::select! {
            biased;
            () = self.session.guard.cut() => return Err(self.cut_off()),
            written = writing => written,
        };
        self.digest = written??;
        self.at += count;
        self.written += count;
        self.checkpoint(CHECKPOINT).await
    }

    /// The stream has ended well.
    ///
    /// # Errors
    /// IO_ERROR, VOLUME_FULL, GRANT_STALE.
    pub async fn finish(self) -> Result<UploadState, Refusal> {
        if self.whole {
            self.count().await?;
        }
        self.checkpoint(CHECKPOINT_AT_END).await?;
        let (files, live) = (self.files.clone(), Arc::clone(self.live()));
        drop(self);
        Ok(files.state_of(&live))
    }

    async fn count(&self) -> Result<(), Refusal> {
        let (session, all) = (Arc::clone(&self.session), self.at - self.written..self.at);
        let counting = self.files.tasks().serve(&self.live().volume, move |_| {
            if session.guard.is_cut() {
                return Err(cut_off(session.turn.live.vfolder));
            }
            let Turn {
                live,
                number,
                losses,
            } = &session.turn;
            live.count(&session.store, *number, all, *losses)
        });
        counting
            .await
            .map_err(|refused| refuse::by_tasks(&refused))?
    }

    /// What was digested, if it was.
    pub(super) fn into_digest(self) -> Option<Digest> {
        self.digest
    }

    /// Syncs, if so many bytes are not.
    async fn checkpoint(&self, from: u64) -> Result<(), Refusal> {
        let live = self.live();
        let unsynced = {
            let state = live.lock();
            // Nothing has to be left of one that is passing.
            if state.record.passing {
                0
            } else {
                state.unsynced
            }
        };
        if unsynced < from {
            return Ok(());
        }
        // Without the guard: no tree is changed, and nobody has to wait for the disk who takes it away.
        let (live, store) = (Arc::clone(live), Arc::clone(&self.session.store));
        let volume = live.volume.clone();
        let syncing = self.files.apart(&volume, move || live.checkpoint(&store));
        tokio::select! {
            biased;
            () = self.session.guard.cut() => Err(self.cut_off()),
            synced = syncing => synced?,
        }
    }

    fn live(&self) -> &Arc<Live> {
        &self.session.turn.live
    }

    fn cut_off(&self) -> Refusal {
        cut_off(self.live().vfolder)
    }
}
