//! Where tests make the manager die: before and after each transaction that changes something, and before and after each
//! call that changes something on a volume. See [`vfolder_common::fault`].

use vfolder_common::fault::Side;

/// The transactions of `manager serve`, by their names.
pub const COMMITS: [&str; 27] = [
    "feed.place",
    "mount.release",
    "mount.renew",
    "mount.take",
    "operation.cancel",
    "operation.claim",
    "operation.end_unstarted",
    "operation.finish",
    "operation.forget",
    "operation.give_back",
    "operation.release",
    "operation.renew",
    "operation.retry_now",
    "sweep.mount",
    "sweep.purge",
    "sweep.records",
    "vfolder.clone",
    "vfolder.create",
    "vfolder.delete",
    "vfolder.fenced",
    "vfolder.perform",
    "vfolder.purge",
    "vfolder.reset",
    "vfolder.restore",
    "vfolder.take_over",
    "vfolder.update",
    "volume.pause",
];

/// The calls, by their names.
pub const CALLS: [&str; 4] = [
    "call.cancel_task",
    "call.fence_tree",
    "call.forget_task",
    "call.run_task",
];

/// Every point: `<transaction or call>.before` and `.after`.
#[must_use]
pub fn points() -> Vec<String> {
    let names = COMMITS.iter().chain(&CALLS);
    names
        .flat_map(|name| {
            [Side::Before, Side::After].map(|side| format!("{name}.{}", side.as_str()))
        })
        .collect()
}
