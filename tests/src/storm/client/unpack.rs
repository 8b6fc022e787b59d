//! Work inside trees: archives unpacked, and what is there removed.

use std::time::Duration;

use tokio::time;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::GetOperationRequest,
    v1::{ExtractArchiveRequest, RemoveTreeRequest, VFolderStatus},
};

use super::{
    Client,
    acts::LOOKS,
    ask::Repeat,
    caller::told_of_operation,
    upload::{Uploaded, What},
};
use crate::{
    User,
    storm::{
        history::{Deed, Progress, Told},
        trees::Archive,
    },
};

impl Client {
    /// Unpacks an archive, which it uploads first if it has none, into a directory of its own.
    pub(super) async fn unpack(&mut self) {
        let Some((vfolder, path, index)) = self.archive().await else {
            return;
        };
        let unpacked = self.shared.archives[index].unpacked;
        let Some(bundle) = self.make_directory_in(vfolder, Archive::MODE).await else {
            return;
        };
        let request = ExtractArchiveRequest {
            vfolder_id: vfolder.to_string(),
            path,
            destination: bundle.clone(),
            request_id: self.request_id(),
            ..ExtractArchiveRequest::default()
        };
        let send = |user: User, request| async move {
            let answer = user.trees.clone().extract_archive(request).await?;
            Ok(answer.into_inner())
        };
        let deed = Deed::Extract {
            vfolder,
            bundle: bundle.clone(),
            value: unpacked,
        };
        let begun = self.ask(deed, Repeat::Until, request, send, told_of_operation);
        if let Ok(Told::Operation { operation, .. }) = begun.await.map(|o| told_of_operation(&o)) {
            self.uploaded.push(Uploaded {
                vfolder,
                path: bundle,
                what: What::Directory,
            });
            self.maybe_wait(operation).await;
        }
    }

    /// One that it has uploaded before, or now: where, and which.
    async fn archive(&mut self) -> Option<(Uuid, String, usize)> {
        let known: Vec<(Uuid, String, usize)> = self
            .uploaded
            .iter()
            .filter_map(|known| match known.what {
                What::Archive(index) => Some((known.vfolder, known.path.clone(), index)),
                What::File | What::Directory => None,
            })
            .collect();
        if !known.is_empty() && self.dice.u32(..4) > 0 {
            return Some(known[self.dice.usize(..known.len())].clone());
        }
        let registry = &self.shared.registry;
        let vfolder = registry.any_in(VFolderStatus::Ready, &mut self.dice)?.id;
        let archives = &self.shared.archives;
        let index = self.dice.usize(..archives.len());
        let packed = archives[index].packed.clone();
        let path = self.upload(vfolder, packed).await?;
        self.uploaded.push(Uploaded {
            vfolder,
            path: path.clone(),
            what: What::Archive(index),
        });
        Some((vfolder, path, index))
    }

    /// Removes something that it has put there.
    pub(super) async fn remove_one(&mut self) {
        if self.uploaded.is_empty() {
            return self.upload_one().await;
        }
        let index = self.dice.usize(..self.uploaded.len());
        let Uploaded { vfolder, path, .. } = self.uploaded.swap_remove(index);
        let request = RemoveTreeRequest {
            vfolder_id: vfolder.to_string(),
            paths: vec![path.clone()],
            // What is unpacked here may be a tree that was never finished, but it is there.
            missing_ok: false,
            request_id: self.request_id(),
            ..RemoveTreeRequest::default()
        };
        let send = |user: User, request| async move {
            let answer = user.trees.clone().remove_tree(request).await?;
            Ok(answer.into_inner())
        };
        let deed = Deed::RemoveTree {
            vfolder,
            bundle: path,
        };
        let begun = self.ask(deed, Repeat::Until, request, send, told_of_operation);
        if let Ok(Told::Operation { operation, .. }) = begun.await.map(|o| told_of_operation(&o)) {
            self.maybe_wait(operation).await;
        }
    }

    async fn maybe_wait(&mut self, operation: Uuid) {
        if self.dice.u32(..3) > 0 {
            return;
        }
        for _ in 0..LOOKS {
            let request = GetOperationRequest {
                name: format!("operations/{operation}"),
            };
            let send = |user: User, request| async move {
                let answer = user.operations.clone().get_operation(request).await?;
                Ok(answer.into_inner())
            };
            let deed = Deed::GetOperation { operation };
            let seen = self.ask(deed, Repeat::Never, request, send, told_of_operation);
            match seen.await.map(|o| told_of_operation(&o)) {
                Ok(Told::Operation {
                    progress: Progress::Live,
                    ..
                }) => time::sleep(Duration::from_millis(self.dice.u64(20..150))).await,
                _ => return,
            }
        }
    }
}
