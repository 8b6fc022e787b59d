//! What work inside trees has written there: known by its operations, since nobody waits for each.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::Facts;
use crate::storm::{
    contents::Write,
    history::{Deed, Micros, Progress, Told},
    settle::Ended,
};

/// The database's clock is ours, read a moment apart.
const SLACK: Micros = 20_000;

/// What was written by operations that ended well, and the bundles of which nothing can be said: whether somebody works
/// on one was never answered, or its work did not come to its end.
pub(super) fn writes<'a>(facts: &Facts<'a>) -> (Vec<Write>, BTreeSet<&'a str>) {
    let by_id: HashMap<Uuid, &Ended> = facts
        .rest
        .operations
        .iter()
        .map(|operation| (operation.id, operation))
        .collect();
    let (mut writes, mut unknown) = (Vec::new(), BTreeSet::new());
    for call in facts.calls {
        let (vfolder, bundle, value) = match &call.deed {
            Deed::Extract {
                vfolder,
                bundle,
                value,
            } => (*vfolder, bundle, Some(*value)),
            Deed::RemoveTree { vfolder, bundle } => (*vfolder, bundle, None),
            _ => continue,
        };
        if call.is_without_effect() {
            continue;
        }
        let done = match call.told() {
            Some(Told::Operation { operation, .. }) => by_id.get(operation).copied(),
            _ => None,
        };
        let end = done
            .filter(|operation| operation.progress == Progress::Succeeded)
            .and_then(|operation| operation.metadata.end_time.as_ref());
        match end {
            Some(end) => writes.push(Write {
                vfolder,
                bundle: bundle.clone(),
                start: call.start,
                end: facts.clock.at(end) + SLACK,
                value,
            }),
            None => {
                unknown.insert(bundle.as_str());
            }
        }
    }
    (writes, unknown)
}
