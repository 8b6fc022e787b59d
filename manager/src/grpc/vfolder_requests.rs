//! What VFolderService's requests ask for.

use std::collections::BTreeSet;

use vfolder_common::error::{Fields, Refusal};
use vfolder_proto::v1::{BackingOperation, ListVFoldersRequest, VFolder, VFolderStatus};

use super::{convert, fields};
use crate::{
    gate::rules,
    model::{Caller, State, Status as VfolderStatus},
    store::{Id, vfolders::Filter},
    vfolder::{self, fields as checks, replay::RequestKey, update::Edit},
};

/// What was parsed, unless something was wrong.
pub(super) fn checked<T>(wrong: Fields, parsed: Option<T>) -> Result<T, Refusal> {
    wrong.finish()?;
    parsed.ok_or_else(|| Refusal::field("vfolder", "is not valid"))
}

pub(super) fn request_key(
    caller: &Caller,
    id: Option<Id>,
    method: &str,
    source: &str,
    new: &vfolder::NewVfolder,
    sent: Option<&VFolder>,
) -> Option<RequestKey> {
    let owner = (new.owner.kind(), new.owner.id());
    let rest = (&new.name, &new.volume, &new.description, &new.labels);
    let arguments = (source, owner, rest, new.member_permission.as_str());
    // As they were sent: those of a source, which a clone has if none were, may be others when the request comes again.
    match sent.map_or((None, None), |wire| (wire.max_bytes, wire.max_files)) {
        // As an earlier release has remembered it.
        (None, None) => RequestKey::new(&caller.user, id, method, &arguments),
        limits => RequestKey::new(&caller.user, id, method, &(arguments, limits)),
    }
}

pub(super) fn filter(asked: &ListVFoldersRequest, wrong: &mut Fields) -> Filter {
    let mut statuses = Vec::new();
    let named: BTreeSet<i32> = asked.statuses.iter().copied().collect();
    for wire in &named {
        match VFolderStatus::try_from(*wire).ok().and_then(rules::status) {
            Some(status) => statuses.push(status),
            None => wrong.wrong("statuses", format!("{wire} is no status")),
        }
    }
    if statuses.is_empty() && !asked.show_deleted {
        statuses = VfolderStatus::ALL
            .iter()
            .copied()
            .filter(|s| !s.is_put_away())
            .collect();
    }
    for (field, text) in [
        ("volume", &asked.volume),
        ("name_prefix", &asked.name_prefix),
    ] {
        if text.chars().any(char::is_control) {
            wrong.wrong(field, "must have only printable characters");
        }
    }
    // Naming an owner whose vfolders the caller can't see is no mistake: the list is empty.
    let everybody = Caller::system();
    Filter {
        statuses,
        owner: fields::owner("owner", asked.owner.as_ref(), &everybody, wrong),
        volume: (!asked.volume.is_empty()).then(|| asked.volume.clone()),
        name_prefix: (!asked.name_prefix.is_empty()).then(|| asked.name_prefix.clone()),
        ..Filter::default()
    }
}

pub(super) fn edit(
    wire: &VFolder,
    mask: Option<prost_types::FieldMask>,
    caller: &Caller,
    wrong: &mut Fields,
) -> Edit {
    const ALL: [&str; 7] = [
        "name",
        "description",
        "labels",
        "owner",
        "member_permission",
        "max_bytes",
        "max_files",
    ];
    let mut paths: Vec<&str> = Vec::new();
    for path in mask.iter().flat_map(|m| &m.paths) {
        match path.as_str() {
            "*" => paths.extend(ALL),
            path if ALL.contains(&path) => paths.push(path),
            path => wrong.wrong(
                "update_mask",
                format!("\"{path}\" can't be changed; what can: {}", ALL.join(", ")),
            ),
        }
    }
    if mask.as_ref().is_none_or(|m| m.paths.is_empty()) {
        wrong.wrong("update_mask", "is required");
    }
    let has = |path| paths.contains(&path);
    let mut edit = Edit::default();
    if has("name") {
        wrong.check("vfolder.name", checks::check_name(&wire.name));
        edit.name = Some(wire.name.clone());
    }
    if has("description") {
        wrong.check(
            "vfolder.description",
            checks::check_description(&wire.description),
        );
        edit.description = Some(wire.description.clone());
    }
    if has("labels") {
        edit.labels = Some(fields::labels("vfolder.labels", &wire.labels, wrong));
    }
    if has("owner") {
        edit.owner = fields::owner("vfolder.owner", wire.owner.as_ref(), caller, wrong);
        if wire.owner.is_none() {
            wrong.wrong("vfolder.owner", "is required by update_mask");
        }
    }
    if has("member_permission") {
        let field = "vfolder.member_permission";
        edit.member_permission = fields::permission(field, wire.member_permission, wrong);
        if wire.member_permission == 0 {
            wrong.wrong(field, "is required by update_mask");
        }
    }
    if has("max_bytes") {
        edit.max_bytes = Some(fields::limit("vfolder.max_bytes", wire.max_bytes, wrong));
    }
    if has("max_files") {
        edit.max_files = Some(fields::limit("vfolder.max_files", wire.max_files, wrong));
    }
    edit
}

pub(super) fn backing(backing: &vfolder::explain::Backing) -> BackingOperation {
    let op = &backing.operation;
    BackingOperation {
        name: op.name(),
        metadata: Some(convert::metadata(
            op,
            backing.sees_target,
            backing.queue_place,
        )),
        lease_owner: op.lease_owner.map(|o| o.to_string()).unwrap_or_default(),
        lease_expire_time: op.lease_expire_time.map(convert::time),
        retry_time: (op.state == State::Pending).then(|| convert::time(op.retry_time)),
        lease_time: op.lease_owner.and(op.lease_time).map(convert::time),
        heartbeat_time: op.lease_owner.map(|_| convert::time(op.update_time)),
        failing_since: op.failing_since.map(convert::time),
    }
}
