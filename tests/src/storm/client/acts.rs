//! What a client may do next, and what it makes.

use std::time::Duration;

use tokio::time;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::{CancelOperationRequest, GetOperationRequest},
    v1::{
        CloneVFolderRequest, CreateVFolderRequest, Owner, VFolder, VFolderPermission,
        VFolderStatus, owner,
    },
};

use super::{
    Client, OWNER,
    ask::Repeat,
    caller::{seen, told_of_operation},
};
use crate::{
    User,
    storm::history::{Deed, Progress, Told},
};

/// A clone that a client began.
pub(super) struct Begun {
    operation: Uuid,
    vfolder: Uuid,
}

/// How many clones a client leaves unwatched.
const UNWATCHED: usize = 4;
/// How often an operation is looked at in one sitting.
pub(super) const LOOKS: usize = 20;

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
            57..60 => self.purge().await,
            60..68 => self.update().await,
            68..72 => self.make_directory().await,
            72..75 => self.list_files().await,
            75..80 => self.get().await,
            80..82 => self.list().await,
            82..85 => self.cancel().await,
            85..88 => self.upload_one().await,
            88..92 => self.unpack().await,
            92..94 => self.read_one().await,
            94..96 => self.remove_one().await,
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
            0 => self.shared_name(),
            _ => tag.clone(),
        };
        let request = CloneVFolderRequest {
            source_id: source.id.to_string(),
            vfolder: Some(described(&name, &tag)),
            request_id: self.request_id(),
            validate_only: false,
            receipt: false,
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
            user.operations
                .clone()
                .cancel_operation(request)
                .await
                .map(drop)
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

    pub(super) fn request_id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.dice.u128(..).to_be_bytes())
            .into_uuid()
            .to_string()
    }
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
