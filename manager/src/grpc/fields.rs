//! Checking fields that several requests have.

use std::{collections::BTreeMap, time::Duration};

use vfolder_common::error::Fields;
use vfolder_proto::v1::{self, owner::Owner as WireOwner};

use crate::{
    gate::rules,
    model::{Caller, Owner, Permission},
    storage::Volumes,
    store::{Id, Vfolder},
    vfolder::{NewVfolder, fields},
};

/// The longest retention and the like.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A required id.
pub fn id(field: &str, text: &str, fields: &mut Fields) -> Option<Id> {
    if text.is_empty() {
        fields.wrong(field, "is required");
        return None;
    }
    let parsed = text.parse::<Id>().map_err(|_| "must be a UUID");
    fields.check(field, parsed)
}

/// An optional id.
pub fn optional_id(field: &str, text: &str, fields: &mut Fields) -> Option<Id> {
    if text.is_empty() {
        None
    } else {
        id(field, text, fields)
    }
}

/// An operation's name: `operations/<id>`.
pub fn operation_name(field: &str, text: &str, fields: &mut Fields) -> Option<Id> {
    let parsed = text
        .strip_prefix("operations/")
        .and_then(|id| id.parse::<Id>().ok())
        .ok_or("must be \"operations/<id>\"");
    fields.check(field, parsed)
}

/// A duration within bounds.
pub fn duration(
    field: &str,
    wire: Option<prost_types::Duration>,
    least: Duration,
    most: Duration,
    fields: &mut Fields,
) -> Option<Duration> {
    let wire = wire?;
    match Duration::try_from(wire) {
        Ok(duration) if duration >= least && duration <= most => Some(duration),
        _ => {
            fields.wrong(
                field,
                format!("must be between {least:?} and {}s", most.as_secs()),
            );
            None
        }
    }
}

/// How long to keep something in the trash.
pub fn retention(wire: Option<prost_types::Duration>, fields: &mut Fields) -> Option<Duration> {
    duration("retention", wire, Duration::ZERO, MAX_DURATION, fields)
}

/// An owner that the caller may act for. None: unset or wrong.
pub fn owner(
    field: &str,
    wire: Option<&v1::Owner>,
    caller: &Caller,
    fields: &mut Fields,
) -> Option<Owner> {
    let owner = match wire?.owner.as_ref() {
        Some(WireOwner::User(id)) => Owner::User(id.clone()),
        Some(WireOwner::Project(id)) => Owner::Project(id.clone()),
        None => {
            fields.wrong(field, "must name a user or a project");
            return None;
        }
    };
    fields.check(field, fields::check_owner(&owner))?;
    if caller.may_act_for(&owner) {
        return Some(owner);
    }
    fields.wrong(
        field,
        "must be you or a project that your token says you are a member of",
    );
    None
}

/// Labels.
pub fn labels(
    field: &str,
    wire: &std::collections::HashMap<String, String>,
    fields: &mut Fields,
) -> BTreeMap<String, String> {
    let labels = wire.clone().into_iter().collect();
    fields.check(field, fields::check_labels(&labels));
    labels
}

/// A permission level. None: unset or wrong.
pub fn permission(field: &str, wire: i32, fields: &mut Fields) -> Option<Permission> {
    if let Ok(level) = v1::VFolderPermission::try_from(wire) {
        rules::permission(level)
    } else {
        fields.wrong(field, format!("{wire} is no permission level"));
        None
    }
}

/// A limit. 0: unset, none, or wrong.
pub fn limit(field: &str, wire: Option<i64>, fields: &mut Fields) -> i64 {
    let limit = wire.unwrap_or_default();
    fields.check(field, fields::check_limit(limit));
    limit
}

/// A vfolder to be made, as `vfolder` of the request describes it. None: something is wrong.
pub fn new_vfolder(
    wire: Option<&v1::VFolder>,
    caller: &Caller,
    volumes: &Volumes,
    fields: &mut Fields,
) -> Option<NewVfolder> {
    let Some(wire) = wire else {
        fields.wrong("vfolder", "is required");
        return None;
    };
    fields.check("vfolder.name", fields::check_name(&wire.name));
    fields.check(
        "vfolder.description",
        fields::check_description(&wire.description),
    );
    if !wire.id.is_empty() {
        fields.wrong("vfolder.id", "must be empty: the manager chooses it");
    }
    let labels = labels("vfolder.labels", &wire.labels, fields);
    let asked = owner("vfolder.owner", wire.owner.as_ref(), caller, fields);
    let member_permission = permission("vfolder.member_permission", wire.member_permission, fields);
    let max_bytes = limit("vfolder.max_bytes", wire.max_bytes, fields);
    let max_files = limit("vfolder.max_files", wire.max_files, fields);
    let volume = fields.check("vfolder.volume", volumes.resolve(&wire.volume))?;
    Some(NewVfolder {
        name: wire.name.clone(),
        owner: asked.unwrap_or_else(|| Owner::User(caller.user.clone())),
        volume,
        description: wire.description.clone(),
        labels,
        member_permission: member_permission.unwrap_or(Permission::Write),
        max_bytes,
        max_files,
    })
}

/// The copy of a vfolder: on its source's volume.
pub fn new_clone(
    wire: Option<&v1::VFolder>,
    source: &Vfolder,
    caller: &Caller,
    volumes: &Volumes,
    fields: &mut Fields,
) -> Option<NewVfolder> {
    let mut wire = wire.cloned();
    if let Some(wire) = &mut wire {
        if !wire.volume.is_empty() && wire.volume != source.volume {
            fields.wrong(
                "vfolder.volume",
                format!(
                    "must be \"{}\" or empty: a clone stays on its source's volume",
                    source.volume
                ),
            );
        }
        wire.volume.clone_from(&source.volume);
        wire.max_bytes.get_or_insert(source.max_bytes);
        wire.max_files.get_or_insert(source.max_files);
    }
    new_vfolder(wire.as_ref(), caller, volumes, fields)
}
