//! Gives uploads up.

use std::sync::Arc;

use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use super::{
    land::clear_hidden,
    live::{Live, Phase},
    refused::{self, busy},
};
use crate::{file::Files, refuse, task::Stay, volume::OpenVolume};

impl Files {
    /// Gives an upload up, and its space back. Whoever writes it finds it gone. Succeeds if there is none.
    ///
    /// # Errors
    /// UPLOAD_COMMITTED, UPLOAD_BUSY while it is being committed; GRANT_TOO_SMALL, GRANT_STALE, those of the volume.
    pub async fn abort_upload(&self, grant: &Grant, id: Uuid) -> Result<(), Refusal> {
        let (files, scope) = (self.clone(), grant.clone());
        self.in_tree(grant.clone(), Stay::Writing, Arc::default(), move |visit| {
            let live = match files.find_upload(visit, &scope, id) {
                Err(refusal) if refusal.reason() == Reason::UploadNotFound => return Ok(()),
                found => found?,
            };
            {
                let mut state = live.lock();
                match &state.phase {
                    Phase::Open => state.phase = Phase::Gone,
                    Phase::Ending => return Err(busy(id, "the upload is being committed")),
                    Phase::Committed(_) => return Err(refused::committed(id)),
                    Phase::Gone => return Ok(()),
                }
            }
            files.remove_gone(visit.volume, &live)
        })
        .await
    }

    /// Destroys one that is gone for everybody.
    pub(super) fn remove_gone(&self, volume: &OpenVolume, live: &Live) -> Result<(), Refusal> {
        let record = {
            let mut state = live.lock();
            state.reservation = None;
            state.record.clone()
        };
        clear_hidden(volume, live.vfolder, live.id, &record);
        let removed = volume.remove_upload(live.vfolder, live.id);
        removed.map_err(|error| refuse::by_volume(&error))?;
        self.uploads().drop_gone(live);
        Ok(())
    }
}
