//! A client of FileService, and what it sends.

use std::{fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, iter, wrappers::ReceiverStream};
use tonic::{Request, Status, Streaming};
use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_proto::v1::{
    AbortUploadRequest, CommitUploadRequest, CreateUploadRequest, FileCheck, FileEntry,
    GetUploadRequest, ReadFileRequest, ReadFileResponse, Upload, UploadTarget, WriteFileRequest,
    WriteFileResponse, write_file_request::To,
};

use crate::proxy::{Proxy, set_up};

/// A volume whose storage-proxy has these `[transfers]`.
pub fn configured(transfers: &str) -> TempDir {
    let dir = set_up();
    let file = dir.path().join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{config}[transfers]\n{transfers}\n")).unwrap();
    dir
}

/// Bytes that are the same in every run, and nowhere the same.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut content);
    content
}

pub fn pieces(content: &[u8], size: usize) -> Vec<Bytes> {
    content.chunks(size).map(Bytes::copy_from_slice).collect()
}

pub fn blake3_check(content: &[u8]) -> FileCheck {
    FileCheck {
        blake3: blake3::hash(content).as_bytes().to_vec().into(),
        ..FileCheck::default()
    }
}

pub fn target(path: &str) -> UploadTarget {
    UploadTarget {
        path: path.into(),
        ..UploadTarget::default()
    }
}

/// Somebody with grants for one vfolder.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub proxy: &'a Proxy,
    pub vfolder: Uuid,
    pub epoch: i64,
}

impl<'a> Client<'a> {
    pub fn new(proxy: &'a Proxy, vfolder: Uuid) -> Self {
        let epoch = 1;
        Self {
            proxy,
            vfolder,
            epoch,
        }
    }

    pub fn granted<T>(&self, message: T) -> Request<T> {
        let mode = GrantMode::ReadWrite;
        self.proxy
            .granted_at(self.epoch, self.vfolder, mode, message)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.proxy.tree(self.vfolder).join(name)
    }

    pub async fn create(&self, target: UploadTarget, size: Option<i64>) -> Result<Upload, Status> {
        let message = CreateUploadRequest {
            vfolder_id: self.vfolder.to_string(),
            target: Some(target),
            size,
        };
        let mut files = self.proxy.files();
        let answer = files.create_upload(self.granted(message)).await;
        answer.map(|answer| answer.into_inner())
    }

    pub async fn upload(&self, id: &str) -> Result<Upload, Status> {
        let message = GetUploadRequest {
            vfolder_id: self.vfolder.to_string(),
            upload_id: id.into(),
        };
        // A grant for reading is what the manager gives for it.
        let epoch = self.epoch;
        let request = self
            .proxy
            .granted_at(epoch, self.vfolder, GrantMode::ReadOnly, message);
        let answer = self.proxy.files().get_upload(request).await;
        answer.map(|answer| answer.into_inner())
    }

    /// Waits until everything before `offset` has arrived.
    pub async fn arrived(&self, id: &str, offset: i64) {
        let arrived = async {
            while self.upload(id).await.unwrap().offset < offset {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), arrived).await.unwrap();
    }

    pub async fn commit(&self, id: &str, check: FileCheck) -> Result<FileEntry, Status> {
        let message = CommitUploadRequest {
            vfolder_id: self.vfolder.to_string(),
            upload_id: id.into(),
            check: Some(check),
        };
        let mut files = self.proxy.files();
        let answer = files.commit_upload(self.granted(message)).await;
        answer.map(|answer| answer.into_inner())
    }

    pub async fn abort(&self, id: &str) -> Result<(), Status> {
        let message = AbortUploadRequest {
            vfolder_id: self.vfolder.to_string(),
            upload_id: id.into(),
        };
        let mut files = self.proxy.files();
        let answer = files.abort_upload(self.granted(message)).await;
        answer.map(drop)
    }

    fn first(&self, to: To, offset: Option<i64>, check: Option<FileCheck>) -> WriteFileRequest {
        WriteFileRequest {
            vfolder_id: self.vfolder.to_string(),
            to: Some(to),
            offset,
            check,
            data: Bytes::new(),
        }
    }

    async fn send_to(
        &self,
        first: WriteFileRequest,
        pieces: Vec<Bytes>,
    ) -> Result<WriteFileResponse, Status> {
        let messages = [first].into_iter().chain(pieces.into_iter().map(data));
        let messages: Vec<_> = messages.collect();
        let request = self.granted(iter(messages));
        let answer = self.proxy.files().write_file(request).await;
        answer.map(|answer| answer.into_inner())
    }

    /// Sends pieces to an upload, in one stream.
    pub async fn send(
        &self,
        id: &str,
        offset: Option<i64>,
        pieces: Vec<Bytes>,
    ) -> Result<WriteFileResponse, Status> {
        let first = self.first(To::UploadId(id.into()), offset, None);
        self.send_to(first, pieces).await
    }

    /// Sends a whole file.
    pub async fn write(
        &self,
        target: UploadTarget,
        check: FileCheck,
        pieces: Vec<Bytes>,
    ) -> Result<WriteFileResponse, Status> {
        let first = self.first(To::File(target), None, Some(check));
        self.send_to(first, pieces).await
    }

    /// A stream to `to` that stays open until the sender is dropped; then it ends well.
    pub fn open_stream(
        &self,
        to: To,
    ) -> (
        mpsc::Sender<Bytes>,
        impl Future<Output = Result<WriteFileResponse, Status>> + Send + 'static,
    ) {
        let (sender, receiver) = mpsc::channel(1);
        let first = tokio_stream::once(self.first(to, None, None));
        let stream = first.chain(ReceiverStream::new(receiver).map(data));
        let request = self.granted(stream);
        let mut files = self.proxy.files();
        let answer = async move { files.write_file(request).await.map(|a| a.into_inner()) };
        (sender, answer)
    }

    pub async fn open(
        &self,
        request: ReadFileRequest,
    ) -> Result<Streaming<ReadFileResponse>, Status> {
        let message = ReadFileRequest {
            vfolder_id: self.vfolder.to_string(),
            ..request
        };
        let mut files = self.proxy.files();
        let answer = files.read_file(self.granted(message)).await;
        answer.map(|answer| answer.into_inner())
    }

    /// The file and the bytes that were asked for.
    pub async fn read(&self, request: ReadFileRequest) -> Result<(FileEntry, Vec<u8>), Status> {
        let mut stream = self.open(request).await?;
        let first = stream.message().await?.unwrap();
        let (mut at, mut read) = (first.offset, Vec::new());
        assert_eq!(first.data.len(), 0);
        while let Some(next) = stream.message().await? {
            assert_eq!((next.offset, next.entry), (at, None));
            at += i64::try_from(next.data.len()).unwrap();
            read.extend_from_slice(&next.data);
        }
        Ok((first.entry.unwrap(), read))
    }

    /// How many handles the process has on what is in the volume's trees and uploads.
    pub fn open_files(&self) -> usize {
        let handles = fs::read_dir(format!("/proc/{}/fd", self.proxy.process.id())).unwrap();
        let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        let volume = self.proxy.dir.path().join("v");
        let [tree, uploads] = ["tree/", "uploads/"].map(|area| volume.join(area));
        let inside = |target: &PathBuf| {
            (target.starts_with(&tree) && target != &tree)
                || (target.starts_with(&uploads) && target != &uploads)
        };
        targets.filter(inside).count()
    }
}

fn data(data: Bytes) -> WriteFileRequest {
    WriteFileRequest {
        data,
        ..WriteFileRequest::default()
    }
}

/// A read of all of a file.
pub fn all_of(path: &str) -> ReadFileRequest {
    ReadFileRequest {
        path: path.into(),
        ..ReadFileRequest::default()
    }
}
