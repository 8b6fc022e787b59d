//! A vfolder as one caller alone would see it: what each step needs, and what it does. Written from the tables of the
//! design, not from the code of the manager.

use std::collections::BTreeMap;

use uuid::Uuid;
use vfolder_proto::v1::VFolderStatus::{
    self, Cloning, Creating, Deleted, Deleting, Error, Mounted, Performing, Ready, Trashed,
};

use crate::storm::history::Micros;

/// What an RPC needs the status to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Readable,
    Writable,
    Updatable,
    Clonable,
    MountRead,
    MountWrite,
    Deletable,
    Restorable,
    Purgable,
    PurgableAtOnce,
}

/// One thing that happened, or may have happened, to a vfolder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its row is inserted, under this name.
    Begin {
        name: String,
    },
    /// The operation that makes its tree ends.
    Made {
        whole: bool,
    },
    /// Somebody was shown it.
    Show {
        status: VFolderStatus,
        name: String,
        revision: i64,
    },
    /// Somebody was refused for this status.
    RefuseStatus {
        access: Access,
        status: VFolderStatus,
    },
    /// Somebody was refused for the etag.
    RefuseEtag {
        access: Access,
        etag: i64,
    },
    /// Somebody was refused for another reason, after the status had admitted, or admitted without a change.
    Admit {
        access: Access,
    },
    /// Somebody was told that it isn't there.
    Absent,
    /// Somebody whom the gate had let pass found no tree: it is being destroyed, or gone.
    NoTree,
    /// The record changes.
    Edit {
        etag: Option<i64>,
        name: Option<String>,
    },
    Trash {
        etag: Option<i64>,
    },
    Restore {
        name: Option<String>,
    },
    PurgeBegins {
        access: Access,
    },
    PurgeEnds {
        gone: bool,
    },
    CloneBegins {
        operation: Uuid,
    },
    CloneEnds {
        operation: Uuid,
    },
    /// Work inside its tree.
    WorkBegins {
        operation: Uuid,
    },
    WorkEnds {
        operation: Uuid,
    },
    Mount {
        mount: Uuid,
        write: bool,
    },
    /// It was released, or had ended already.
    Unmount {
        mount: Uuid,
    },
    Expire {
        mount: Uuid,
    },
    /// It was live.
    Renew {
        mount: Uuid,
    },
    /// It was not live.
    NoMount {
        mount: Uuid,
    },
}

/// A vfolder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// None before it is begun.
    pub(super) status: Option<VFolderStatus>,
    pub(super) name: String,
    pub(super) revision: i64,
    /// How many of its last changes were ends of lapsed mounts: a transaction that notes them compares the etag with the
    /// revision before.
    pub(super) lapses: i64,
    /// Clones of it that run.
    pub(super) clones: Vec<Uuid>,
    /// What works inside it.
    pub(super) work: Option<Uuid>,
    /// Mounts, and whether they write.
    pub(super) mounts: BTreeMap<Uuid, bool>,
}

/// From when on each mount may have expired without anybody having noticed.
pub(super) type Expiries = BTreeMap<Uuid, Micros>;

impl State {
    pub(super) const fn nothing() -> Self {
        Self {
            status: None,
            name: String::new(),
            revision: 0,
            lapses: 0,
            clones: Vec::new(),
            work: None,
            mounts: BTreeMap::new(),
        }
    }

    /// The state afterwards, and whether it differs; None: the step is impossible here.
    pub(super) fn after(&self, what: &What, result: Option<i64>) -> Option<Self> {
        let status = match (self.status, what) {
            (None, What::Begin { name }) => {
                return Some(Self {
                    status: Some(Creating),
                    name: name.clone(),
                    revision: 1,
                    ..Self::nothing()
                });
            }
            (None, _) | (_, What::Begin { .. }) => return None,
            (Some(status), _) => status,
        };
        let fitting = self.revision - self.lapses..=self.revision;
        let etag_fits = |etag: &Option<i64>| etag.is_none_or(|etag| fitting.contains(&etag));
        let mut next = self.clone();
        match what {
            What::Made { whole } => {
                (status == Creating).then_some(())?;
                next.status = Some(if *whole { Ready } else { Deleted });
            }
            What::Edit { etag, name } => {
                (self.admits(Access::Updatable, status) && etag_fits(etag)).then_some(())?;
                if let Some(name) = name {
                    next.name.clone_from(name);
                }
            }
            What::Trash { etag } => {
                (self.admits(Access::Deletable, status) && etag_fits(etag)).then_some(())?;
                next.status = Some(Trashed);
            }
            What::Restore { name } => {
                self.admits(Access::Restorable, status).then_some(())?;
                next.status = Some(Ready);
                if let Some(name) = name {
                    next.name.clone_from(name);
                }
            }
            What::PurgeBegins { access } => {
                self.admits(*access, status).then_some(())?;
                next.status = Some(Deleting);
            }
            What::PurgeEnds { gone } => {
                (status == Deleting).then_some(())?;
                next.status = Some(if *gone { Deleted } else { Error });
            }
            What::CloneBegins { operation } => {
                self.admits(Access::Clonable, status).then_some(())?;
                next.clones.push(*operation);
                next.clones.sort_unstable();
                next.status = Some(Cloning);
            }
            What::CloneEnds { operation } => {
                let index = self.clones.iter().position(|clone| clone == operation)?;
                next.clones.remove(index);
                next.settle();
            }
            What::WorkBegins { operation } => {
                self.admits(Access::Updatable, status).then_some(())?;
                next.work = Some(*operation);
                next.settle();
            }
            What::WorkEnds { operation } => {
                (self.work == Some(*operation)).then_some(())?;
                next.work = None;
                next.settle();
            }
            What::Mount { mount, write } => {
                let access = if *write {
                    Access::MountWrite
                } else {
                    Access::MountRead
                };
                (self.admits(access, status) && !self.mounts.contains_key(mount)).then_some(())?;
                next.mounts.insert(*mount, *write);
                next.settle();
            }
            What::Unmount { mount } | What::Expire { mount } => {
                if next.mounts.remove(mount).is_none() {
                    return matches!(what, What::Unmount { .. }).then(|| self.clone());
                }
                next.settle();
            }
            _ => return None,
        }
        next.revision += 1;
        next.lapses = match what {
            What::Expire { .. } => self.lapses + 1,
            _ => 0,
        };
        result
            .is_none_or(|told| told == next.revision)
            .then_some(next)
    }

    /// Whether a step that changes nothing fits here. `end` is when it was over at the latest: a mount whose time has
    /// come by then may count for nothing already, although its end is not written yet.
    pub(super) fn fits(&self, what: &What, expiries: &Expiries, end: Micros) -> Option<bool> {
        let lapsed = |mount: &Uuid| expiries.get(mount).is_some_and(|from| *from <= end);
        let unnoticed = self.status == Some(Mounted) && self.mounts.keys().all(lapsed);
        let is = |told: VFolderStatus| self.status == Some(told) || (unnoticed && told == Ready);
        Some(match what {
            What::Show {
                status,
                name,
                revision,
            } => is(*status) && *revision == self.revision && *name == self.name,
            What::RefuseStatus { access, status } => {
                is(*status) && (*status == Mounted || !self.admits(*access, *status))
            }
            What::RefuseEtag { access, etag } => {
                *etag != self.revision && self.admits_somehow(*access, unnoticed)
            }
            What::Admit { access } => self.admits_somehow(*access, unnoticed),
            What::Absent => self.status.is_none(),
            What::NoTree => matches!(self.status, Some(Deleting | Deleted)),
            What::Renew { mount } => self.mounts.contains_key(mount),
            What::NoMount { mount } => !self.mounts.contains_key(mount) || lapsed(mount),
            _ => return None,
        })
    }

    fn admits_somehow(&self, access: Access, unnoticed: bool) -> bool {
        self.status
            .is_some_and(|status| self.admits(access, status))
            || (unnoticed && self.admits(access, Ready))
    }

    /// The design's table.
    fn admits(&self, access: Access, status: VFolderStatus) -> bool {
        match access {
            Access::Readable => {
                matches!(status, Ready | Performing | Cloning | Mounted | Trashed)
            }
            Access::Writable | Access::MountWrite => matches!(status, Ready | Mounted),
            Access::Updatable => status == Ready,
            Access::Clonable => {
                matches!(status, Ready | Cloning)
                    || (status == Mounted && !self.mounts.values().any(|write| *write))
            }
            Access::MountRead => matches!(status, Ready | Performing | Cloning | Mounted),
            Access::Deletable => matches!(status, Ready | Error),
            Access::Restorable => status == Trashed,
            Access::Purgable => matches!(status, Trashed | Error),
            Access::PurgableAtOnce => matches!(status, Trashed | Error | Ready),
        }
    }

    /// What backs it decides.
    fn settle(&mut self) {
        self.status = Some(if self.work.is_some() {
            Performing
        } else if !self.clones.is_empty() {
            Cloning
        } else if !self.mounts.is_empty() {
            Mounted
        } else {
            Ready
        });
    }
}
