//! Changing a record.

use std::collections::BTreeMap;

use vfolder_common::error::Refusal;

use super::{Cause, Locked, create, fields, quota};
use crate::{
    context::Context,
    model::{Owner, Permission, Transition, Warrant},
    store::{Id, Tx, Vfolder},
};

/// What is to change: only what is set. The values have been checked.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// New labels, in place of all old ones.
    pub labels: Option<BTreeMap<String, String>>,
    /// A new owner.
    pub owner: Option<Owner>,
    /// A new permission for members.
    pub member_permission: Option<Permission>,
    /// A new limit on bytes; 0: none.
    pub max_bytes: Option<i64>,
    /// A new limit on entries; 0: none.
    pub max_files: Option<i64>,
}

impl Edit {
    fn apply(self, row: &mut Vfolder) {
        if let Some(name) = self.name {
            row.name = name;
        }
        if let Some(description) = self.description {
            row.description = description;
        }
        if let Some(labels) = self.labels {
            row.labels = fields::labels_text(&labels);
        }
        if let Some(owner) = self.owner {
            row.set_owner(&owner);
        }
        if let Some(permission) = self.member_permission {
            row.member_permission = permission;
        }
        row.max_bytes = self.max_bytes.unwrap_or(row.max_bytes);
        row.max_files = self.max_files.unwrap_or(row.max_files);
    }

    /// Whether the storage-proxy has to hear of it.
    fn is_about_quotas(&self) -> bool {
        self.owner.is_some() || self.max_bytes.is_some() || self.max_files.is_some()
    }

    fn describe(&self, row: &Vfolder) -> String {
        let mut parts = Vec::new();
        if let Some(name) = &self.name {
            parts.push(format!("name \"{}\" → \"{name}\"", row.name));
        }
        if self.description.is_some() {
            parts.push("description".into());
        }
        if self.labels.is_some() {
            parts.push("labels".into());
        }
        if let Some(owner) = &self.owner {
            let old = row.owner();
            parts.push(format!(
                "owner {} \"{}\" → {} \"{}\"",
                old.kind(),
                old.id(),
                owner.kind(),
                owner.id()
            ));
        }
        if let Some(permission) = self.member_permission {
            parts.push(format!(
                "member_permission {} → {permission}",
                row.member_permission
            ));
        }
        let limits = [
            ("max_bytes", row.max_bytes, self.max_bytes),
            ("max_files", row.max_files, self.max_files),
        ];
        for (what, old, new) in limits {
            if let Some(new) = new {
                parts.push(format!("{what} {old} → {new}"));
            }
        }
        parts.join(", ")
    }
}

/// Changes the record of a vfolder.
pub async fn update(
    ctx: &Context,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    edit: Edit,
    dry: bool,
) -> Result<Vfolder, Refusal> {
    let mut tx = ctx.store.begin("vfolder.update").await?;
    let tell = !dry && edit.is_about_quotas();
    let done = in_transaction(ctx, &mut tx, warrant, id, etag, edit).await;
    let row = tx.finish_or_abandon(dry, done).await?;
    if tell {
        quota::tell(ctx, &row).await;
    }
    Ok(row)
}

async fn in_transaction(
    ctx: &Context,
    tx: &mut Tx,
    warrant: &Warrant,
    id: Id,
    etag: &str,
    edit: Edit,
) -> Result<Vfolder, Refusal> {
    let mut locked = Locked::admit(tx, id, warrant, etag).await?;
    if let Some(owner) = &edit.owner
        && *owner != locked.row.owner()
    {
        create::make_room(ctx, tx, owner).await?;
    }
    let cause = Cause {
        action: "UpdateVFolder",
        actor: warrant.caller.user.clone(),
        reason: edit.describe(&locked.row),
        ..Cause::default()
    };
    let status = locked.row.status;
    locked
        .change(tx, Transition::Edit, status, cause, |row| {
            row.quota_untold |= edit.is_about_quotas();
            edit.apply(row);
        })
        .await?;
    Ok(locked.row)
}
