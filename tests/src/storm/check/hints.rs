//! Which step to try first. The manager's history says what came next; whether that is right is for the search to find
//! out, which tries everything else if it leads nowhere.

use vfolder_proto::v1::VFolderEvent;

use super::steps::Step;
use crate::storm::check::model::What;

/// Whether the step may be what the event tells of.
pub(super) fn suggests(event: &VFolderEvent, step: &Step) -> bool {
    let operation = |id: &uuid::Uuid| event.operation.ends_with(&id.to_string());
    // One that went unanswered goes by a number of ours.
    let mount = |id: &uuid::Uuid| !step.sure || event.mount_id == id.to_string();
    match (event.action.as_str(), &step.what) {
        ("CreateVFolder", What::Begin { .. })
        | ("creation ended", What::Made { whole: true })
        | ("creation undone", What::Made { whole: false })
        | ("DeleteVFolder", What::Trash { .. })
        | ("RestoreVFolder", What::Restore { .. })
        | ("UpdateVFolder", What::Edit { .. })
        | ("PurgeVFolder" | "trash retention", What::PurgeBegins { .. })
        | ("purge ended" | "purge failed", What::PurgeEnds { .. }) => {
            step.result.is_none_or(|result| result == event.sequence)
        }
        ("CloneVFolder", What::Begin { .. }) => event.sequence == 1,
        ("CloneVFolder", What::CloneBegins { operation: id })
        | ("clone ended", What::CloneEnds { operation: id }) => operation(id),
        ("ExtractArchive" | "RemoveTree", What::WorkBegins { operation: id })
        | ("in-place work ended", What::WorkEnds { operation: id }) => operation(id),
        ("Mount", What::Mount { mount: id, .. }) => mount(id),
        ("Unmount", What::Unmount { mount: id }) => event.mount_id == id.to_string(),
        // Whether it is sure or not is said of nobody's request.
        ("mount expiry", What::Expire { mount: id }) => {
            event.mount_id == id.to_string() || id.get_version_num() != 7
        }
        _ => false,
    }
}
