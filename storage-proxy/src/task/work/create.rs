//! An empty tree.

use uuid::Uuid;

use super::{Interrupted, Job, Record, Step};
use crate::{account::Amount, faults::pass, tree::Progress};

impl Job<'_> {
    pub(super) fn begin_create(
        &self,
        vfolder: Uuid,
        record: Option<Record>,
    ) -> Result<Step, Interrupted> {
        self.at("create.begin")?;
        if self.is_published(vfolder)? {
            // An earlier life may have died before it could note that.
            self.open_account(vfolder, None);
        } else {
            drop(self.take_target()?);
            if record.is_none() {
                self.write_record(None)?;
            }
            self.at("create.journalled")?;
        }
        self.create(vfolder).map(|done| Step::Done(done.into()))
    }

    pub(super) fn create(&self, vfolder: Uuid) -> Result<Progress, Interrupted> {
        if !self.is_published(vfolder)? {
            self.clear_staging()?;
            let make = || {
                let staging = self.volume.begin_staging(self.operation)?;
                staging.make_empty_tree(self.volume.backend(), &self.volume.new_trees)?;
                self.at("create.staged")?;
                let place = self.volume.prepare_place(vfolder)?;
                self.at("create.placed")?;
                self.publish(|| Ok(self.volume.publish(&staging, &place, vfolder)?))
            };
            make()?;
            pass("create.published");
            self.open_account(vfolder, Some(Amount::default()));
            self.tidy();
        }
        self.task.control.entry_done();
        self.task.control.set_totals(1, 0);
        Ok(self.task.control.progress())
    }
}
