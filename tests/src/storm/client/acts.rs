//! What a client may do next.

use std::time::Duration;

use prost_types::FieldMask;
use tokio::time;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::{CancelOperationRequest, GetOperationRequest},
    v1::{
        CloneVFolderRequest, CreateDirectoryRequest, CreateVFolderRequest, DeleteVFolderRequest,
        GetVFolderRequest, ListFilesRequest, ListVFoldersRequest, Owner, PurgeVFolderRequest,
        RestoreVFolderRequest, UpdateVFolderRequest, VFolder, VFolderPermission, VFolderStatus,
        owner,
    },
};

use super::{
    Client, OWNER,
    ask::Repeat,
    caller::{seen, told_of_operation},
    registry::Card,
};
use crate::{
    User,
    storm::{
        contents::Write,
        history::{Deed, NEVER, Outcome, Progress, Told},
        trees,
    },
};

/// A clone that a client began.
pub(super) struct Begun {
    operation: Uuid,
    vfolder: Uuid,
}

/// How many clones a client leaves unwatched.
const UNWATCHED: usize = 4;
/// How often an operation is looked at in one sitting.
const LOOKS: usize = 20;

impl Client {
    /// Draws what to do, and does it.
    pub(super) async fn act(&mut self) {
        let count = self.shared.registry.count();
        let wanted = self.shared.plan.vfolders;
        if count < wanted / 3 {
            return self.create().await;
        }
        if self.begun.len() > UNWATCHED {
            return self.follow().await;
        }
        match self.dice.u32(..100) {
            0..5 if count < wanted => self.create().await,
            0..17 if count < wanted => self.clone_one().await,
            // Too many: some have to go.
            0..9 => self.trash().await,
            9..17 => self.purge().await,
            17..34 => self.write_session().await,
            34..43 => self.read_session().await,
            43..50 => self.trash().await,
            50..57 => self.restore().await,
            57..61 => self.purge().await,
            61..72 => self.update().await,
            72..78 => self.make_directory().await,
            78..82 => self.list_files().await,
            82..89 => self.get().await,
            89..92 => self.list().await,
            92..95 => self.cancel().await,
            _ => self.follow().await,
        }
    }

    async fn create(&mut self) {
        let tag = self.fresh();
        let volumes: Vec<String> = self
            .shared
            .world
            .volumes()
            .map(|v| v.name.clone())
            .collect();
        let request = CreateVFolderRequest {
            vfolder: Some(VFolder {
                volume: volumes[self.dice.usize(..volumes.len())].clone(),
                ..described(&tag, &tag)
            }),
            request_id: self.request_id(),
            validate_only: false,
        };
        let deed = Deed::Create {
            name: tag.clone(),
            tag,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().create_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let _ = self
            .ask(deed, Repeat::Until, request, send, |v| {
                Told::VFolder(seen(v))
            })
            .await;
    }

    async fn clone_one(&mut self) {
        let Some(source) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        else {
            return;
        };
        let tag = self.fresh();
        // Now and then under a name that somebody else may have.
        let name = match self.dice.u32(..10) {
            0 => format!("shared-{}", self.dice.u32(..6)),
            _ => tag.clone(),
        };
        let request = CloneVFolderRequest {
            source_id: source.id.to_string(),
            vfolder: Some(described(&name, &tag)),
            request_id: self.request_id(),
            validate_only: false,
        };
        let deed = Deed::Clone {
            source: source.id,
            tag,
            name,
        };
        let send = |user: User, request| async move {
            let answer = user.vfolders.clone().clone_v_folder(request).await?;
            Ok(answer.into_inner())
        };
        let Ok(operation) = self
            .ask(deed, Repeat::Until, request, send, told_of_operation)
            .await
        else {
            return;
        };
        if let Told::Operation {
            operation, vfolder, ..
        } = told_of_operation(&operation)
        {
            self.begun.push(Begun { operation, vfolder });
            match self.dice.u32(..10) {
                0 => self.cancel().await,
                1..5 => self.follow().await,
                _ => {}
            }
        }
    }

    async fn cancel(&mut self) {
        let Some(begun) = self.begun.last() else {
            return self.get().await;
        };
        let operation = begun.operation;
        let request = CancelOperationRequest {
            name: format!("operations/{operation}"),
        };
        let send = |user: User, request| async move {
            let answer = user.operations.clone().cancel_operation(request).await?;
            Ok(answer.into_inner())
        };
        let deed = Deed::Cancel { operation };
        let _ = self
            .ask(deed, Repeat::Until, request, send, |()| Told::Nothing)
            .await;
    }

    /// Looks after a clone that it began; when that has ended well, looks at the copy.
    async fn follow(&mut self) {
        if self.begun.is_empty() {
            return self.get().await;
        }
        let index = self.dice.usize(..self.begun.len());
        let operation = self.begun[index].operation;
        for _ in 0..LOOKS {
            let request = GetOperationRequest {
                name: format!("operations/{operation}"),
            };
            let send = |user: User, request| async move {
                let answer = user.operations.clone().get_operation(request).await?;
                Ok(answer.into_inner())
            };
            let deed = Deed::GetOperation { operation };
            let answer = self
                .ask(deed, Repeat::Never, request, send, told_of_operation)
                .await;
            let Ok(Told::Operation { progress, .. }) = answer.map(|o| told_of_operation(&o)) else {
                return;
            };
            match progress {
                Progress::Live => time::sleep(Duration::from_millis(self.dice.u64(20..150))).await,
                Progress::Succeeded => {
                    let copy = self.begun.swap_remove(index).vfolder;
                    return self.look_at(copy).await;
                }
                Progress::Failed | Progress::Cancelled => {
                    self.begun.swap_remove(index);
                    return;
                }
            }
        }
    }

    async fn trash(&mut self) {
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

    async fn restore(&mut self) {
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

    async fn purge(&mut self) {
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

    async fn update(&mut self) {
        let Some(card) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        else {
            return;
        };
        let etag = self.sometimes_etag(card);
        let name = match self.dice.u32(..4) {
            0 => Some(format!("shared-{}", self.dice.u32(..6))),
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

    async fn make_directory(&mut self) {
        let Some(card) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        else {
            return;
        };
        let path = self.fresh();
        let request = CreateDirectoryRequest {
            vfolder_id: card.id.to_string(),
            path: path.clone(),
            mode: 0o2710,
            ..CreateDirectoryRequest::default()
        };
        let deed = Deed::CreateDirectory {
            vfolder: card.id,
            path: path.clone(),
        };
        let clock = self.shared.world.clock;
        let start = clock.now();
        let send = |user: User, request| async move {
            let answer = user.files.clone().create_directory(request).await?;
            Ok(answer.into_inner())
        };
        let answer = self
            .ask(deed, Repeat::Never, request, send, |_| Told::Nothing)
            .await;
        let end = match answer {
            Ok(_) => clock.now(),
            Err(Outcome::Refused { .. }) => return,
            Err(_) => NEVER,
        };
        self.shared.contents.wrote(Write {
            vfolder: card.id,
            bundle: path,
            start,
            end,
            value: Some(trees::digest_of_directory(0o2710)),
        });
    }

    async fn list_files(&mut self) {
        let Some(card) = self.shared.registry.any(&mut self.dice) else {
            return;
        };
        let request = ListFilesRequest {
            vfolder_id: card.id.to_string(),
            ..ListFilesRequest::default()
        };
        let deed = Deed::ListFiles { vfolder: card.id };
        let send = |user: User, request| async move {
            let answer = user.files.clone().list_files(request).await?;
            Ok(answer.into_inner())
        };
        let _ = self
            .ask(deed, Repeat::Never, request, send, |_| Told::Nothing)
            .await;
    }

    async fn get(&mut self) {
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

    async fn list(&mut self) {
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

    fn request_id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.dice.u128(..).to_be_bytes())
            .into_uuid()
            .to_string()
    }
}

fn etag_text(etag: Option<i64>) -> String {
    etag.map(|revision| format!("\"{revision}\""))
        .unwrap_or_default()
}

fn described(name: &str, tag: &str) -> VFolder {
    VFolder {
        name: name.into(),
        description: tag.into(),
        owner: Some(Owner {
            owner: Some(owner::Owner::Project(OWNER.into())),
        }),
        member_permission: VFolderPermission::Own.into(),
        ..VFolder::default()
    }
}
