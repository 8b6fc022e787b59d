//! Refusals that nothing the clients do can deserve: a fault is no reason to give a wrong one.

use super::{Facts, Violation};
use crate::storm::{
    client::SHARED_NAME,
    history::{Call, Deed, Outcome},
};

/// What the clients may be told by a system in working order.
const DESERVED: &[&str] = &[
    "VFOLDER_BUSY",
    "VFOLDER_STATUS",
    "ETAG_MISMATCH",
    "NAME_TAKEN",
    "MOUNT_NOT_FOUND",
    "GRANT_STALE",
    // Limits.
    "COUNT_EXCEEDED",
    "QUEUE_FULL",
];

/// Looks for others.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) {
    for call in facts.calls {
        let wrong = match &call.outcome {
            Outcome::Refused { reason, .. } => {
                !(DESERVED.contains(&reason.as_str())
                    || may_miss_the_tree(&call.deed, reason)
                    || may_meet_itself(call, reason))
                    || (reason == "NAME_TAKEN" && has_a_name_of_its_own(&call.deed))
            }
            // What comes without a reason comes from a broken connection; with one, from us.
            Outcome::Unknown(text) => text.contains("INTERNAL"),
            Outcome::Done(_) => false,
        };
        if wrong {
            violations.push(Violation {
                check: "answers",
                text: "a refusal that nobody deserves".into(),
                evidence: vec![call.to_string()],
            });
        }
    }
}

/// A purge may come between the gate and the storage-proxy; the search for an order sees to it that one did.
fn may_miss_the_tree(deed: &Deed, reason: &str) -> bool {
    matches!(
        deed,
        Deed::ListFiles { .. }
            | Deed::ReadFile { .. }
            | Deed::CreateDirectory { .. }
            | Deed::CreateUpload { .. }
            | Deed::WriteFile { .. }
            | Deed::CommitUpload { .. }
    ) && reason == "VFOLDER_NOT_FOUND"
}

/// An attempt that was left open may still be at work on the same part.
fn may_meet_itself(call: &Call, reason: &str) -> bool {
    let writes = matches!(call.deed, Deed::WriteFile { .. });
    writes && call.open_attempts > 0 && reason == "UPLOAD_BUSY"
}

/// Nobody else uses that name: taken it can be by the request itself, which came before and must be recognised.
fn has_a_name_of_its_own(deed: &Deed) -> bool {
    let name = match deed {
        Deed::Create { name, .. } | Deed::Clone { name, .. } => Some(name),
        Deed::Update { name, .. } | Deed::Restore { name, .. } => name.as_ref(),
        _ => None,
    };
    name.is_some_and(|name| !name.starts_with(SHARED_NAME))
}
