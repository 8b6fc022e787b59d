//! Whole files, through FileService: uploaded, and read again.

use futures_util::stream;
use uuid::Uuid;
use vfolder_proto::v1::{
    CommitUploadRequest, CreateUploadRequest, FileCheck, ReadFileRequest, UploadTarget,
    VFolderStatus, WriteFileRequest, write_file_request::To,
};

use super::{Client, ask::Repeat};
use crate::{
    User,
    storm::{
        contents::{Look, Write},
        history::{Deed, NEVER, Outcome, Told},
        trees,
    },
};

/// The permission bits of what is uploaded.
const MODE: u32 = 0o640;
/// In one message.
const CHUNK: usize = 64 << 10;

/// Something in a tree that is surely there, until its client removes it or the tree goes.
pub(super) struct Uploaded {
    pub(super) vfolder: Uuid,
    pub(super) path: String,
    pub(super) what: What,
}

/// What that is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File,
    /// A file, too: which of the archives.
    Archive(usize),
    Directory,
}

impl Client {
    /// Uploads a file of its own making.
    pub(super) async fn upload_one(&mut self) {
        let registry = &self.shared.registry;
        let Some(card) = registry.any_in(VFolderStatus::Ready, &mut self.dice) else {
            return;
        };
        let size = match self.dice.u32(..8) {
            0 => 1 << 20,
            1 => 0,
            _ => self.dice.usize(..100_000),
        };
        let content: Vec<u8> = (0..size).map(|_| self.dice.u8(..)).collect();
        if let Some(path) = self.upload(card.id, content).await {
            self.uploaded.push(Uploaded {
                vfolder: card.id,
                path,
                what: What::File,
            });
        }
    }

    /// Uploads in three steps, between which anything may happen. Its name, if it is there for sure.
    pub(super) async fn upload(&mut self, vfolder: Uuid, content: Vec<u8>) -> Option<String> {
        let path = self.fresh();
        let (id, size) = (vfolder.to_string(), i64::try_from(content.len()).ok()?);
        let request = CreateUploadRequest {
            vfolder_id: id.clone(),
            target: Some(UploadTarget {
                path: path.clone(),
                mode: MODE,
                ..UploadTarget::default()
            }),
            size: Some(size),
        };
        let send = |user: User, request| async move {
            let answer = user.files.clone().create_upload(request).await?;
            Ok(answer.into_inner())
        };
        let deed = Deed::CreateUpload {
            vfolder,
            path: path.clone(),
        };
        let made = self.ask(deed, Repeat::Never, request, send, |_| Told::Nothing);
        let upload = made.await.ok()?.id;
        let value = trees::digest_of_file(MODE, &content);
        let messages = messages(&id, &upload, &content);
        let send = |user: User, messages| async move {
            let sent = stream::iter::<Vec<WriteFileRequest>>(messages);
            user.files.clone().write_file(sent).await.map(drop)
        };
        let deed = Deed::WriteFile {
            vfolder,
            path: path.clone(),
        };
        // The same bytes at the same places.
        let written = self.ask(deed, Repeat::Until, messages, send, |()| Told::Nothing);
        written.await.ok()?;
        let request = CommitUploadRequest {
            vfolder_id: id,
            upload_id: upload,
            check: Some(FileCheck {
                size: Some(size),
                ..FileCheck::default()
            }),
        };
        let send = |user: User, request| async move {
            user.files.clone().commit_upload(request).await.map(drop)
        };
        let deed = Deed::CommitUpload {
            vfolder,
            path: path.clone(),
        };
        let clock = self.shared.world.clock;
        let start = clock.now();
        let committed = self.ask(deed, Repeat::Never, request, send, |()| Told::Nothing);
        let end = match committed.await {
            Ok(()) => clock.now(),
            Err(Outcome::Refused { .. }) => return None,
            Err(_) => NEVER,
        };
        self.shared.contents.wrote(Write {
            vfolder,
            bundle: path.clone(),
            start,
            end,
            value: Some(value),
        });
        (end != NEVER).then_some(path)
    }

    /// Reads a file that it has uploaded.
    pub(super) async fn read_one(&mut self) {
        let files: Vec<(Uuid, String)> = self
            .uploaded
            .iter()
            .filter(|known| known.what != What::Directory)
            .map(|known| (known.vfolder, known.path.clone()))
            .collect();
        if files.is_empty() {
            return self.upload_one().await;
        }
        let (vfolder, path) = files[self.dice.usize(..files.len())].clone();
        let request = ReadFileRequest {
            vfolder_id: vfolder.to_string(),
            path: path.clone(),
            ..ReadFileRequest::default()
        };
        let send = |user: User, request| async move {
            let mut answers = user.files.clone().read_file(request).await?.into_inner();
            let (mut mode, mut content) = (0, Vec::new());
            while let Some(answer) = answers.message().await? {
                mode = answer.entry.map_or(mode, |entry| entry.mode);
                content.extend(answer.data);
            }
            Ok((mode, content))
        };
        let deed = Deed::ReadFile {
            vfolder,
            path: path.clone(),
        };
        let clock = self.shared.world.clock;
        let start = clock.now();
        let read = self.ask(deed, Repeat::Until, request, send, |_| Told::Nothing);
        let Ok((mode, content)) = read.await else {
            return;
        };
        let digest = trees::digest_of_file(mode & 0o7777, &content);
        self.shared.contents.looked(Look {
            vfolder,
            start,
            end: clock.now(),
            only: Some(path.clone()),
            bundles: [(path, digest)].into(),
            who: format!("c{} by ReadFile", self.number),
        });
    }
}

fn messages(vfolder: &str, upload: &str, content: &[u8]) -> Vec<WriteFileRequest> {
    let mut chunks: Vec<&[u8]> = content.chunks(CHUNK).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let mut messages: Vec<WriteFileRequest> = chunks
        .into_iter()
        .map(|chunk| WriteFileRequest {
            data: chunk.to_vec().into(),
            ..WriteFileRequest::default()
        })
        .collect();
    messages[0].vfolder_id = vfolder.to_owned();
    messages[0].to = Some(To::UploadId(upload.to_owned()));
    messages[0].offset = Some(0);
    messages
}
