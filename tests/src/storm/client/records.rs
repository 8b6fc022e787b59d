//! What a client does to a vfolder's record, and how it looks at records.

use std::time::Duration;

use prost_types::FieldMask;
use uuid::Uuid;
use vfolder_proto::v1::{
    DeleteVFolderRequest, GetVFolderRequest, ListVFoldersRequest, PurgeVFolderRequest,
    RestoreVFolderRequest, UpdateVFolderRequest, VFolder, VFolderStatus,
};

use super::{
    Client,
    ask::Repeat,
    caller::{seen, told_of_operation},
    registry::Card,
};
use crate::{
    User,
    storm::history::{Deed, Told},
};

impl Client {
    pub(super) async fn trash(&mut self) {
        let Some(card) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        else {
            return;
        };
        let etag = self.sometimes_etag(card);
        // Some are to be purged by the sweeper.
        let retention =
            (self.dice.u32(..4) == 0).then(|| Duration::from_millis(self.dice.u64(200..4_000)));
        let request = DeleteVFolderRequest {
            vfolder_id: card.id.to_string(),
            etag: etag_text(etag),
            retention: retention.and_then(|r| prost_types::Duration::try_from(r).ok()),
            ..DeleteVFolderRequest::default()
        };
        let deed = Deed::Trash {
            vfolder: card.id,
            etag,
            retention,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().delete_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let _ = self
            .ask(deed, Repeat::Never, request, send, |v| {
                Told::VFolder(seen(v))
            })
            .await;
    }

    pub(super) async fn restore(&mut self) {
        let registry = &self.shared.registry;
        let Some(card) = registry.any_in(VFolderStatus::Trashed, &mut self.dice) else {
            return;
        };
        let name = (self.dice.u32(..3) == 0).then(|| self.fresh());
        let request = RestoreVFolderRequest {
            vfolder_id: card.id.to_string(),
            name: name.clone().unwrap_or_default(),
            ..RestoreVFolderRequest::default()
        };
        let deed = Deed::Restore {
            vfolder: card.id,
            name,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().restore_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let _ = self
            .ask(deed, Repeat::Never, request, send, |v| {
                Told::VFolder(seen(v))
            })
            .await;
    }

    pub(super) async fn purge(&mut self) {
        let skip_trash = self.dice.bool();
        let status = if skip_trash {
            VFolderStatus::Ready
        } else {
            VFolderStatus::Trashed
        };
        let Some(card) = self.shared.registry.any_in(status, &mut self.dice) else {
            return;
        };
        let request = PurgeVFolderRequest {
            vfolder_id: card.id.to_string(),
            skip_trash,
            ..PurgeVFolderRequest::default()
        };
        let deed = Deed::Purge {
            vfolder: card.id,
            skip_trash,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().purge_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        if self
            .ask(deed, Repeat::Never, request, send, told_of_operation)
            .await
            .is_ok()
        {
            // Asked for less often from now on.
            self.shared.registry.note(Card {
                status: VFolderStatus::Deleting,
                ..card
            });
            if self.dice.bool() {
                self.get_one(card.id).await;
            }
        }
    }

    pub(super) async fn update(&mut self) {
        let Some(card) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        else {
            return;
        };
        let etag = self.sometimes_etag(card);
        let name = match self.dice.u32(..4) {
            0 => Some(self.shared_name()),
            1 => Some(self.fresh()),
            _ => None,
        };
        let label = ("storm".to_owned(), self.fresh());
        let request = UpdateVFolderRequest {
            vfolder: Some(VFolder {
                id: card.id.to_string(),
                name: name.clone().unwrap_or_default(),
                labels: [label].into_iter().collect(),
                etag: etag_text(etag),
                ..VFolder::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec![if name.is_some() { "name" } else { "labels" }.into()],
            }),
            validate_only: false,
        };
        let deed = Deed::Update {
            vfolder: card.id,
            etag,
            name,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().update_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let _ = self
            .ask(deed, Repeat::Never, request, send, |v| {
                Told::VFolder(seen(v))
            })
            .await;
    }

    pub(super) async fn get(&mut self) {
        if let Some(card) = self.shared.registry.any(&mut self.dice) {
            self.get_one(card.id).await;
        }
    }

    async fn get_one(&mut self, vfolder: Uuid) {
        let request = GetVFolderRequest {
            vfolder_id: vfolder.to_string(),
            show_deleted: true,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().get_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let deed = Deed::Get { vfolder };
        let _ = self
            .ask(deed, Repeat::Never, request, send, |v| {
                Told::VFolder(seen(v))
            })
            .await;
    }

    pub(super) async fn list(&mut self) {
        let request = ListVFoldersRequest {
            page_size: 200,
            statuses: vec![
                VFolderStatus::Creating.into(),
                VFolderStatus::Ready.into(),
                VFolderStatus::Cloning.into(),
                VFolderStatus::Mounted.into(),
                VFolderStatus::Trashed.into(),
            ],
            ..ListVFoldersRequest::default()
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().list_v_folders(request).await?;
            Ok(answer.into_inner().vfolders)
        };
        let read = |all: &Vec<VFolder>| Told::VFolders(all.iter().map(seen).collect());
        let _ = self
            .ask(Deed::List, Repeat::Never, request, send, read)
            .await;
    }

    fn sometimes_etag(&mut self, card: Card) -> Option<i64> {
        (self.dice.u32(..3) > 0).then_some(card.revision)
    }
}

fn etag_text(etag: Option<i64>) -> String {
    etag.map(|revision| format!("\"{revision}\""))
        .unwrap_or_default()
}
