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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use vfolder_proto::v1::OperationMetadata;

    use super::*;
    use crate::storm::{
        check::content,
        contents::Look,
        history::{Call, Clock, NEVER, Outcome},
        settle::Rest,
    };

    /// Of a bundle that was unpacked by an operation with this end, and holds this later.
    fn violations_of(end: Option<Progress>, outcome: Outcome, found: Option<u64>) -> usize {
        let (vfolder, operation) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let calls = [Call {
            client: 0,
            deed: Deed::Extract {
                vfolder,
                bundle: "b".into(),
                value: 7,
            },
            start: 10,
            end: 20,
            open_attempts: 0,
            outcome,
        }];
        let ended = end.map(|progress| Ended {
            id: operation,
            progress,
            metadata: OperationMetadata {
                end_time: Some(SystemTime::UNIX_EPOCH.into()),
                ..OperationMetadata::default()
            },
            error: String::new(),
        });
        let rest = Rest {
            operations: ended.into_iter().collect(),
            ..Rest::default()
        };
        let looks = [Look {
            vfolder,
            start: NEVER - 2,
            end: NEVER - 1,
            only: None,
            bundles: found
                .map(|value| ("b".to_owned(), value))
                .into_iter()
                .collect(),
            who: String::new(),
        }];
        let mut violations = Vec::new();
        let facts = Facts {
            clock: Clock::start(),
            calls: &calls,
            rest: &rest,
            writes: &[],
            looks: &looks,
        };
        content::check(&facts, &mut violations);
        violations.len()
    }

    #[test]
    fn what_is_not_what_an_operation_unpacked_is_found_and_what_nobody_knows_is_not() {
        let told = || {
            Outcome::Done(Told::Operation {
                operation: Uuid::from_u128(2),
                vfolder: Uuid::from_u128(1),
                progress: Progress::Live,
            })
        };
        let done = Some(Progress::Succeeded);
        let found = |found| violations_of(done, told(), found);
        assert_eq!([Some(7), Some(8), None].map(found), [0, 1, 1]);
        let half = violations_of(Some(Progress::Cancelled), told(), Some(8));
        let unanswered = violations_of(None, Outcome::Unknown(String::new()), Some(8));
        assert_eq!((half, unanswered), (0, 0));
        let refused = Outcome::Refused {
            reason: "VFOLDER_BUSY".into(),
            status: None,
            text: String::new(),
        };
        assert_eq!(violations_of(None, refused, Some(7)), 1);
    }
}
