//! From calls to steps: what each call says of each vfolder, and when it can have been.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;
use vfolder_proto::v1::{OperationKind, VFolder};

use super::{
    Facts,
    model::{Access, Expiries, What},
    refusals::refusal,
};
use crate::storm::{
    client::seen,
    history::{Call, Deed, Micros, NEVER, Outcome, Progress, Seen, Told, micros},
};

/// The database's clock and ours are the same machine's, read a moment apart and rounded.
const SLACK: Micros = 5_000;

/// A step: it took effect at one moment from `start` to `end`.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) start: Micros,
    pub(super) end: Micros,
    /// It did happen; else it may have.
    pub(super) sure: bool,
    pub(super) what: What,
    /// The revision that it was told to have led to.
    pub(super) result: Option<i64>,
    /// Of several that are the same but for their number, one is as good as another. 0: it is like no other.
    pub(super) alike: u64,
    /// Where it comes from, for people.
    pub(super) origin: String,
}

/// All that is said of one vfolder.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) steps: Vec<Step>,
    pub(super) expiries: Expiries,
}

/// All that is said, by vfolder.
pub(super) fn stories(facts: &Facts<'_>) -> BTreeMap<Uuid, Story> {
    let mut stories = Stories {
        all: BTreeMap::new(),
        begun: HashMap::new(),
        seen_ended: HashMap::new(),
    };
    for call in facts.calls {
        if let Deed::Create { tag, .. } | Deed::Clone { tag, .. } = &call.deed {
            stories.begun.insert(tag, call);
        }
        if let Some(Told::Operation {
            operation,
            progress,
            ..
        }) = call.told()
            && *progress != Progress::Live
        {
            let end = stories.seen_ended.entry(*operation).or_insert(NEVER);
            *end = call.end.min(*end);
        }
    }
    for call in facts.calls {
        stories.tell(call);
    }
    for vfolder in &facts.rest.vfolders {
        stories.beginning(vfolder);
        let shown = seen(vfolder);
        stories.show(
            &shown,
            facts.rest.start,
            facts.rest.end,
            "read after the storm",
        );
    }
    stories.operations(facts);
    stories.lapses(facts);
    stories.all
}

struct Stories<'a> {
    all: BTreeMap<Uuid, Story>,
    /// The call with each tag.
    begun: HashMap<&'a str, &'a Call>,
    /// When each operation was first seen to have ended.
    seen_ended: HashMap<Uuid, Micros>,
}

impl<'a> Stories<'a> {
    fn add(&mut self, vfolder: Uuid, step: Step) {
        self.all.entry(vfolder).or_default().steps.push(step);
    }

    fn show(&mut self, seen: &Seen, start: Micros, end: Micros, origin: &str) {
        let what = What::Show {
            status: seen.status,
            name: seen.name.clone(),
            revision: seen.revision,
        };
        self.add(
            seen.id,
            Step {
                start,
                end,
                sure: true,
                what,
                result: None,
                alike: 0,
                origin: origin.to_owned(),
            },
        );
    }

    fn tell(&mut self, call: &'a Call) {
        match (&call.deed, call.told()) {
            (Deed::Create { .. } | Deed::Get { .. }, Some(Told::VFolder(seen))) => {
                self.show(seen, call.start, call.end, &call.to_string());
            }
            (Deed::List, Some(Told::VFolders(all))) => {
                for seen in all {
                    let origin = format!("ListVFolders of c{}", call.client);
                    self.show(seen, call.start, call.end, &origin);
                }
            }
            _ => {}
        }
        let Some(vfolder) = call.deed.target() else {
            return;
        };
        if let Outcome::Refused { reason, status, .. } = &call.outcome {
            if let Some(what) = refusal(&call.deed, reason, *status)
                && call.open_attempts == 0
            {
                self.add_call(vfolder, call, what, true, None);
                return;
            }
            if call.open_attempts == 0 {
                return;
            }
        }
        let sure = call.told().is_some();
        let result = match call.told() {
            Some(Told::VFolder(seen)) => Some(seen.revision),
            _ => None,
        };
        let what = match &call.deed {
            Deed::Trash { etag, .. } => What::Trash { etag: *etag },
            Deed::Restore { name, .. } => What::Restore { name: name.clone() },
            Deed::Update { etag, name, .. } => What::Edit {
                etag: *etag,
                name: name.clone(),
            },
            Deed::Mount { write, ttl, .. } => {
                self.mount(vfolder, call, *write, micros(*ttl));
                return;
            }
            Deed::Unmount { mount, .. } => What::Unmount { mount: *mount },
            Deed::Renew { mount, .. } if sure => What::Renew { mount: *mount },
            Deed::ListFiles { .. } | Deed::ReadFile { .. } if sure => What::Admit {
                access: Access::Readable,
            },
            Deed::CreateDirectory { .. }
            | Deed::CreateUpload { .. }
            | Deed::WriteFile { .. }
            | Deed::CommitUpload { .. }
                if sure =>
            {
                What::Admit {
                    access: Access::Writable,
                }
            }
            // Clones, purges and work in trees are told by their operations, which are all known in the end.
            _ => return,
        };
        self.add_call(vfolder, call, what, sure, result);
    }

    fn add_call(
        &mut self,
        vfolder: Uuid,
        call: &Call,
        what: What,
        sure: bool,
        result: Option<i64>,
    ) {
        self.add(
            vfolder,
            Step {
                start: call.start,
                end: if sure { call.end } else { NEVER },
                sure,
                what,
                result,
                alike: 0,
                origin: call.to_string(),
            },
        );
    }

    /// Each attempt without an answer may have taken a mount that nobody knows of.
    fn mount(&mut self, vfolder: Uuid, call: &Call, write: bool, ttl: Micros) {
        if let Some(Told::Mount { mount }) = call.told() {
            let mount = *mount;
            self.add_call(vfolder, call, What::Mount { mount, write }, true, None);
            self.lapse(vfolder, mount, call.start + ttl);
        }
        for number in 0..call.open_attempts.max(u32::from(call.told().is_none())) {
            let mount = Uuid::from_u128(
                (u128::from(call.start) << 40) + u128::from(number) * 64 + call.client as u128,
            );
            self.add_call(vfolder, call, What::Mount { mount, write }, false, None);
            if let Some(step) = self.all.entry(vfolder).or_default().steps.last_mut() {
                step.alike = call.start;
            }
            self.lapse(vfolder, mount, call.start + ttl);
        }
    }

    fn lapse(&mut self, vfolder: Uuid, mount: Uuid, from: Micros) {
        let from = from.saturating_sub(SLACK);
        let story = self.all.entry(vfolder).or_default();
        let known = story.expiries.entry(mount).or_insert(from);
        *known = from.max(*known);
    }

    /// The insertion of its row, by the call that its description names.
    fn beginning(&mut self, vfolder: &VFolder) {
        let Some(call) = self.begun.get(vfolder.description.as_str()) else {
            return; // The check of effects complains.
        };
        let (Deed::Create { name, .. } | Deed::Clone { name, .. }) = &call.deed else {
            return;
        };
        let id = seen(vfolder).id;
        let told = match call.told() {
            Some(Told::VFolder(seen)) => seen.id == id,
            Some(Told::Operation { vfolder, .. }) => *vfolder == id,
            _ => false,
        };
        let what = What::Begin { name: name.clone() };
        self.add(
            id,
            Step {
                start: call.start,
                end: if told { call.end } else { NEVER },
                sure: true,
                what,
                result: None,
                alike: 0,
                origin: call.to_string(),
            },
        );
    }

    /// The beginnings and ends of all operations, as far as they touch a vfolder.
    fn operations(&mut self, facts: &Facts<'_>) {
        for operation in &facts.rest.operations {
            let told = facts.calls.iter().find(|call| {
                matches!(call.told(), Some(Told::Operation { operation: told, .. }) if *told == operation.id)
                    && matches!(
                        call.deed,
                        Deed::Clone { .. }
                            | Deed::Purge { .. }
                            | Deed::Extract { .. }
                            | Deed::RemoveTree { .. }
                    )
            });
            let by_tag = facts
                .rest
                .vfolders
                .iter()
                .find(|v| v.id == operation.metadata.vfolder_id);
            let asked = told.or_else(|| {
                by_tag.and_then(|vfolder| self.begun.get(vfolder.description.as_str()).copied())
            });
            let known_end = self.seen_ended.get(&operation.id).copied().unwrap_or(NEVER);
            let mut add = |vfolder: Uuid, start: Micros, end: Micros, what: What| {
                let origin = format!("operation {} {:?}", operation.id, operation.progress);
                self.add(
                    vfolder,
                    Step {
                        start,
                        end,
                        sure: true,
                        what,
                        result: None,
                        alike: 0,
                        origin,
                    },
                );
            };
            let ended = operation.progress != Progress::Live;
            let well = operation.progress == Progress::Succeeded;
            if operation.metadata.kind() == OperationKind::Purge {
                // One that the retention or an unanswered call began.
                let start = told.map_or(0, |call| call.start);
                let end = told.map_or(NEVER, Call::latest);
                let skip = facts.calls.iter().any(|call| {
                    matches!(&call.deed, Deed::Purge { vfolder, skip_trash: true } if *vfolder == operation.vfolder())
                });
                let access = if skip && operation.metadata.requester != "system" {
                    Access::PurgableAtOnce
                } else {
                    Access::Purgable
                };
                add(
                    operation.vfolder(),
                    start,
                    end,
                    What::PurgeBegins { access },
                );
                if ended {
                    add(
                        operation.vfolder(),
                        start,
                        known_end,
                        What::PurgeEnds { gone: well },
                    );
                }
                continue;
            }
            if matches!(
                operation.metadata.kind(),
                OperationKind::Extract | OperationKind::Remove
            ) {
                let start = told.map_or(0, |call| call.start);
                let end = told.map_or(NEVER, Call::latest);
                let (vfolder, operation) = (operation.vfolder(), operation.id);
                add(vfolder, start, end, What::WorkBegins { operation });
                if ended {
                    add(vfolder, start, known_end, What::WorkEnds { operation });
                }
                continue;
            }
            let start = asked.map_or(0, |call| call.start);
            if ended {
                add(
                    operation.vfolder(),
                    start,
                    known_end,
                    What::Made { whole: well },
                );
            }
            if let Some(source) = operation.source() {
                let id = operation.id;
                let end = told.map_or(NEVER, Call::latest);
                add(source, start, end, What::CloneBegins { operation: id });
                if ended {
                    add(source, start, known_end, What::CloneEnds { operation: id });
                }
            }
        }
    }

    /// Mounts end when their time is over, noticed or not.
    fn lapses(&mut self, facts: &Facts<'_>) {
        for call in facts.calls {
            if let (
                Deed::Renew {
                    vfolder,
                    mount,
                    ttl,
                },
                Outcome::Done(_),
            ) = (&call.deed, &call.outcome)
            {
                self.lapse(*vfolder, *mount, call.start + micros(*ttl));
            }
        }
        for story in self.all.values_mut() {
            for (mount, from) in &story.expiries {
                story.steps.push(Step {
                    start: *from,
                    end: NEVER,
                    sure: false,
                    what: What::Expire { mount: *mount },
                    result: None,
                    alike: 0,
                    origin: format!("the end of mount {mount}"),
                });
            }
        }
    }
}
