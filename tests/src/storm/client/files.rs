//! What a client asks of FileService.

use uuid::Uuid;
use vfolder_proto::v1::{CreateDirectoryRequest, ListFilesRequest, VFolderStatus};

use super::{Client, ask::Repeat};
use crate::{
    User,
    storm::{
        contents::Write,
        history::{Deed, NEVER, Outcome, Told},
        trees,
    },
};

impl Client {
    pub(super) async fn make_directory(&mut self) {
        let registry = &self.shared.registry;
        if let Some(card) = registry.any_in(VFolderStatus::Ready, &mut self.dice) {
            self.make_directory_in(card.id, 0o2710).await;
        }
    }

    /// Its name, if it was made for sure.
    pub(super) async fn make_directory_in(&mut self, vfolder: Uuid, mode: u32) -> Option<String> {
        let path = self.fresh();
        let request = CreateDirectoryRequest {
            vfolder_id: vfolder.to_string(),
            path: path.clone(),
            mode,
            ..CreateDirectoryRequest::default()
        };
        let deed = Deed::CreateDirectory {
            vfolder,
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
            Err(Outcome::Refused { .. }) => return None,
            Err(_) => NEVER,
        };
        self.shared.contents.wrote(Write {
            vfolder,
            bundle: path.clone(),
            start,
            end,
            value: Some(trees::digest_of_directory(mode)),
        });
        (end != NEVER).then_some(path)
    }

    pub(super) async fn list_files(&mut self) {
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
}
