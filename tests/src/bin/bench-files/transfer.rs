//! Reading and writing a file over gRPC.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};
use vfolder_proto::v1::{
    CommitUploadRequest, CreateUploadRequest, Grant, ReadFileRequest, UploadTarget,
    WriteFileRequest, file_service_client::FileServiceClient, write_file_request::To,
};
use vfolder_tests::Authorized;

use crate::{Told, ballast::Ballast, bare::KEPT};

/// A way in.
#[derive(Clone)]
pub struct Door {
    files: Files,
    vfolder: String,
    /// The upload to name to the bare server, which has none.
    bare: Option<&'static str>,
}

#[derive(Clone)]
enum Files {
    Plain(Box<FileServiceClient<Channel>>, AsciiMetadataValue),
    Manager(Box<FileServiceClient<Authorized>>),
}

impl Door {
    /// To the bare server.
    pub fn bare(url: &str, vfolder: &str) -> Told<Self> {
        let door = Self::plain(url, "none", vfolder)?;
        let bare = Some("");
        Ok(Self { bare, ..door })
    }

    /// To the bare server, which is to keep what comes.
    pub fn bare_keeping(url: &str, vfolder: &str) -> Told<Self> {
        let door = Self::plain(url, "none", vfolder)?;
        let bare = Some(KEPT);
        Ok(Self { bare, ..door })
    }

    /// To the storage-proxy.
    pub fn direct(grant: &Grant, vfolder: &str) -> Told<Self> {
        Self::plain(&grant.grpc_url, &grant.token, vfolder)
    }

    /// To the manager.
    pub fn manager(files: FileServiceClient<Authorized>, vfolder: &str) -> Self {
        Self {
            files: Files::Manager(Box::new(files)),
            vfolder: vfolder.to_owned(),
            bare: None,
        }
    }

    fn plain(url: &str, token: &str, vfolder: &str) -> Told<Self> {
        let channel = Channel::from_shared(url.to_owned())
            .map_err(|e| e.to_string())?
            .connect_lazy();
        let bearer = format!("Bearer {token}");
        let bearer = bearer.parse().map_err(|_| "a token is printable")?;
        Ok(Self {
            files: Files::Plain(Box::new(FileServiceClient::new(channel)), bearer),
            vfolder: vfolder.to_owned(),
            bare: None,
        })
    }

    /// Reads the file and forgets it.
    pub async fn read(&self, path: &str, size: u64, chunk: usize) -> Told<Duration> {
        let begun = Instant::now();
        let request = ReadFileRequest {
            vfolder_id: self.vfolder.clone(),
            path: path.into(),
            // Only the bare server takes it from here: it has no file.
            length: i64::try_from(size).map_err(|e| e.to_string())?,
            chunk_size: i32::try_from(chunk).map_err(|e| e.to_string())?,
            ..ReadFileRequest::default()
        };
        let answer = match self.files.clone() {
            Files::Plain(mut files, bearer) => files.read_file(authorized(request, &bearer)).await,
            Files::Manager(mut files) => files.read_file(request).await,
        };
        let mut messages = answer.map_err(|e| e.to_string())?.into_inner();
        let mut read = 0;
        while let Some(message) = messages.message().await.map_err(|e| e.to_string())? {
            read += message.data.len() as u64;
        }
        all(read, size)?;
        Ok(begun.elapsed())
    }

    /// Writes a file by an upload, in place of what was there, into the memory of `ballast`.
    pub async fn write(
        &self,
        path: &str,
        size: u64,
        chunk: usize,
        mut ballast: Ballast,
    ) -> Told<Duration> {
        let begun = Instant::now();
        let upload = self.create(path, size).await?;
        let first = WriteFileRequest {
            vfolder_id: self.vfolder.clone(),
            to: Some(To::UploadId(upload.clone())),
            ..WriteFileRequest::default()
        };
        let data = Bytes::from(vec![0x5a; chunk]);
        let pieces = stream::unfold(size, move |left| {
            ballast.make_room(size - left);
            let data = data.clone();
            async move {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                let message = WriteFileRequest {
                    data: data.slice(..length),
                    ..WriteFileRequest::default()
                };
                (length > 0).then(|| (message, left - length as u64))
            }
        });
        let messages = futures_util::StreamExt::chain(stream::iter([first]), pieces);
        let answer = match self.files.clone() {
            Files::Plain(mut files, bearer) => {
                files.write_file(authorized(messages, &bearer)).await
            }
            Files::Manager(mut files) => files.write_file(messages).await,
        };
        let written = answer.map_err(|e| e.to_string())?.into_inner().written;
        all(u64::try_from(written).unwrap_or_default(), size)?;
        self.commit(upload).await?;
        Ok(begun.elapsed())
    }

    /// Begins an upload. The bare server has none.
    async fn create(&self, path: &str, size: u64) -> Told<String> {
        let request = CreateUploadRequest {
            vfolder_id: self.vfolder.clone(),
            target: Some(UploadTarget {
                path: path.into(),
                replace: true,
                ..UploadTarget::default()
            }),
            size: Some(i64::try_from(size).map_err(|e| e.to_string())?),
        };
        if let Some(upload) = self.bare {
            return Ok(upload.to_owned());
        }
        let answer = match self.files.clone() {
            Files::Plain(mut files, bearer) => {
                files.create_upload(authorized(request, &bearer)).await
            }
            Files::Manager(mut files) => files.create_upload(request).await,
        };
        answer
            .map(|upload| upload.into_inner().id)
            .map_err(|e| e.to_string())
    }

    async fn commit(&self, upload_id: String) -> Told<()> {
        let request = CommitUploadRequest {
            vfolder_id: self.vfolder.clone(),
            upload_id,
            ..CommitUploadRequest::default()
        };
        if self.bare.is_some() {
            return Ok(());
        }
        let answer = match self.files.clone() {
            Files::Plain(mut files, bearer) => {
                files.commit_upload(authorized(request, &bearer)).await
            }
            Files::Manager(mut files) => files.commit_upload(request).await,
        };
        answer.map(drop).map_err(|e| e.to_string())
    }
}

fn authorized<T>(message: T, bearer: &AsciiMetadataValue) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", bearer.clone());
    request
}

fn all(bytes: u64, size: u64) -> Told<()> {
    if bytes == size {
        return Ok(());
    }
    Err(format!("{bytes} bytes of {size} came over"))
}
