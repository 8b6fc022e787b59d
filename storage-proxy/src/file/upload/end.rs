//! Gives uploads up.

use std::sync::Arc;

use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use super::{
    hidden::may_be_left,
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
                    Phase::Landed(_) => return Err(refused::landed(id)),
                    Phase::Ending => return Err(busy(id, "the upload is being committed")),
                    Phase::Committed(_) => return Err(refused::committed(id)),
                    Phase::Gone => return Ok(()),
                }
            }
            files.remove_gone(visit.volume, &live)?;
            files.clear_left(visit, live.vfolder);
            Ok(())
        })
        .await
    }

    /// Destroys one that is gone for everybody; of one that may have left something in its tree, all but the record of that.
    pub(super) fn remove_gone(&self, volume: &OpenVolume, live: &Arc<Live>) -> Result<(), Refusal> {
        let by_volume = |error| refuse::by_volume(&error);
        let left = {
            let mut state = live.lock();
            state.reservation = None;
            state.place = None;
            may_be_left(&state.record)
        };
        if left && volume.tree(live.vfolder).map_err(by_volume)?.is_some() {
            self.uploads().leave(live);
            return match volume.upload(live.vfolder, live.id).map_err(by_volume)? {
                Some(folder) => folder
                    .remove_data()
                    .map_err(|errno| refuse::by_errno("data", errno)),
                None => Ok(()),
            };
        }
        volume
            .remove_upload(live.vfolder, live.id)
            .map_err(by_volume)?;
        self.uploads().drop_gone(live);
        Ok(())
    }
}
