//! Every acknowledged call has had its effect, once; nothing is there that nobody asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;
use vfolder_proto::v1::{OperationKind, VFolder, VFolderStatus};

use super::{Facts, Violation};
use crate::storm::{
    history::{Call, Deed, Progress, Told},
    settle::Ended,
};

/// Compares what was made and begun with what was asked.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    made_as_asked(facts, violations);
    names_are_unique(facts, violations);
    operations_were_asked_for(facts, violations);
    ends_stay(facts, violations);
}

fn violation(text: String, calls: &[&Call]) -> Violation {
    Violation {
        check: "effects",
        text,
        evidence: calls.iter().map(|call| call.to_string()).collect(),
    }
}

/// Each vfolder leads back by its description to the one call that made it.
fn made_as_asked(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    let mut made: HashMap<&str, Vec<&VFolder>> = HashMap::new();
    for vfolder in &facts.rest.vfolders {
        made.entry(&vfolder.description).or_default().push(vfolder);
    }
    let operations = by_vfolder(&facts.rest.operations);
    let succeeded = |vfolder: &VFolder| {
        let id: Uuid = vfolder.id.parse().unwrap_or_default();
        operations.get(&id).into_iter().flatten().any(|operation| {
            matches!(
                operation.metadata.kind(),
                OperationKind::Create | OperationKind::Clone
            ) && operation.progress == Progress::Succeeded
        })
    };
    for call in facts.calls {
        let tag = match &call.deed {
            Deed::Create { tag, .. } | Deed::Clone { tag, .. } => tag.as_str(),
            _ => continue,
        };
        let found = made.remove(tag).unwrap_or_default();
        // A creation that failed may be asked for anew with the same request_id.
        let whole: Vec<_> = found.iter().filter(|vfolder| succeeded(vfolder)).collect();
        if whole.len() > 1 {
            let ids: Vec<_> = whole.iter().map(|vfolder| &vfolder.id).collect();
            violations.push(violation(
                format!("one call made several vfolders: {ids:?}"),
                &[call],
            ));
        }
        let told = match call.told() {
            Some(Told::VFolder(seen)) => Some(seen.id),
            Some(Told::Operation { vfolder, .. }) => Some(*vfolder),
            _ => None,
        };
        if let Some(told) = told
            && !found.iter().any(|vfolder| vfolder.id == told.to_string())
        {
            violations.push(violation(
                format!("{told} was acknowledged and is not there"),
                &[call],
            ));
        }
        if call.is_without_effect()
            && let Some(made) = found.first()
        {
            violations.push(violation(
                format!("refused, and {} is there", made.id),
                &[call],
            ));
        }
    }
    for vfolder in made.into_values().flatten() {
        violations.push(violation(format!("{} was made by nobody", vfolder.id), &[]));
    }
}

fn names_are_unique(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for vfolder in &facts.rest.vfolders {
        if matches!(
            vfolder.status(),
            VFolderStatus::Creating
                | VFolderStatus::Ready
                | VFolderStatus::Cloning
                | VFolderStatus::Performing
                | VFolderStatus::Mounted
        ) {
            names.entry(&vfolder.name).or_default().push(&vfolder.id);
        }
    }
    for (name, ids) in names {
        if ids.len() > 1 {
            violations.push(violation(format!("\"{name}\" is the name of {ids:?}"), &[]));
        }
    }
}

/// Each operation was begun by one call, or by the end of a retention that somebody had asked for.
fn operations_were_asked_for(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    let known: HashSet<Uuid> = facts
        .rest
        .operations
        .iter()
        .map(|operation| operation.id)
        .collect();
    let mut told: HashMap<Uuid, usize> = HashMap::new();
    for call in facts.calls {
        if let (
            Deed::Purge { .. }
            | Deed::Clone { .. }
            | Deed::Extract { .. }
            | Deed::RemoveTree { .. },
            Some(Told::Operation { operation, .. }),
        ) = (&call.deed, call.told())
        {
            *told.entry(*operation).or_default() += 1;
            if !known.contains(operation) {
                let text = format!("operation {operation} was acknowledged and is not there");
                violations.push(violation(text, &[call]));
            }
        }
    }
    for (operation, times) in &told {
        if *times > 1 {
            violations.push(violation(
                format!("{operation} was the answer to {times} calls"),
                &[],
            ));
        }
    }
    for operation in &facts.rest.operations {
        let kind = operation.metadata.kind();
        if operation.progress == Progress::Cancelled && !may_be_cancelled(facts, operation) {
            let text = format!("{} is CANCELLED and nobody cancelled it", operation.id);
            violations.push(violation(text, &[]));
        }
        if operation.progress == Progress::Failed {
            let text = format!(
                "{} {:?} FAILED, although nothing but processes and connections did: {}",
                operation.id, kind, operation.error
            );
            violations.push(violation(text, &[]));
        }
        if kind != OperationKind::Purge || told.contains_key(&operation.id) {
            continue;
        }
        let by_system = operation.metadata.requester == "system";
        let asked = facts.calls.iter().any(|call| match &call.deed {
            Deed::Purge { vfolder, .. } => {
                !by_system
                    && *vfolder == operation.vfolder()
                    && call.told().is_none()
                    && !call.is_without_effect()
            }
            Deed::Trash {
                vfolder, retention, ..
            } => {
                by_system
                    && retention.is_some()
                    && *vfolder == operation.vfolder()
                    && !call.is_without_effect()
            }
            _ => false,
        });
        if !asked {
            let text = format!(
                "{} purges {} and nobody asked",
                operation.id,
                operation.vfolder()
            );
            violations.push(violation(text, &[]));
        }
    }
}

/// Somebody asked for it, or CreateVFolder itself gave up waiting.
fn may_be_cancelled(facts: &Facts<'_>, operation: &Ended) -> bool {
    operation.metadata.kind() == OperationKind::Create
        || facts.calls.iter().any(|call| {
            matches!(call.deed, Deed::Cancel { operation: asked } if asked == operation.id)
                && !call.is_without_effect()
        })
}

/// An operation whose end was seen has that end.
fn ends_stay(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    let ends: HashMap<Uuid, Progress> = facts
        .rest
        .operations
        .iter()
        .map(|operation| (operation.id, operation.progress))
        .collect();
    for call in facts.calls {
        if let Some(Told::Operation {
            operation,
            progress,
            ..
        }) = call.told()
            && *progress != Progress::Live
            && ends.get(operation) != Some(progress)
        {
            let text = format!(
                "{operation} was seen {progress:?} and is {:?}",
                ends.get(operation)
            );
            violations.push(violation(text, &[call]));
        }
    }
}

/// The operations that make or destroy each vfolder.
fn by_vfolder(operations: &[Ended]) -> HashMap<Uuid, Vec<&Ended>> {
    let mut all: HashMap<Uuid, Vec<&Ended>> = HashMap::new();
    for operation in operations {
        all.entry(operation.vfolder()).or_default().push(operation);
    }
    all
}
