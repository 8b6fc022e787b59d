//! FileService: the files inside a vfolder, for users, by way of the manager or directly. One verb a file.

mod archive;
mod directory;
mod entry;
mod list;

use std::pin::Pin;

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};
use vfolder_common::error::{Reason, Refusal};
use vfolder_proto::v1::{
    AbortUploadRequest, AbortUploadResponse, CommitUploadRequest, CreateDirectoryRequest,
    CreateUploadRequest, DownloadArchiveRequest, DownloadArchiveResponse, FileEntry,
    GetUploadRequest, GetUsageRequest, GetUsageResponse, ListFilesRequest, ListFilesResponse,
    MoveFileRequest, ReadFileRequest, ReadFileResponse, RemoveFilesRequest, RemoveFilesResponse,
    SearchFilesRequest, SearchFilesResponse, StatFileRequest, Upload, WriteFileRequest,
    WriteFileResponse, file_service_server::FileService,
};

use crate::file::Files;

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    files: Files,
}

impl Service {
    /// Over these files.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Self { files }
    }
}

/// A response of many messages.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

fn missing() -> Status {
    Refusal::new(Reason::MethodUnknown, "not built yet").into()
}

#[tonic::async_trait]
impl FileService for Service {
    async fn list_files(&self, request: Request<ListFilesRequest>) -> Answer<ListFilesResponse> {
        self.list(request).await
    }

    async fn stat_file(&self, _: Request<StatFileRequest>) -> Answer<FileEntry> {
        Err(missing())
    }

    async fn search_files(&self, _: Request<SearchFilesRequest>) -> Answer<SearchFilesResponse> {
        Err(missing())
    }

    async fn get_usage(&self, _: Request<GetUsageRequest>) -> Answer<GetUsageResponse> {
        Err(missing())
    }

    async fn create_directory(
        &self,
        request: Request<CreateDirectoryRequest>,
    ) -> Answer<FileEntry> {
        self.make_directory(request).await
    }

    async fn move_file(&self, _: Request<MoveFileRequest>) -> Answer<FileEntry> {
        Err(missing())
    }

    async fn remove_files(&self, _: Request<RemoveFilesRequest>) -> Answer<RemoveFilesResponse> {
        Err(missing())
    }

    type ReadFileStream = Messages<ReadFileResponse>;

    async fn read_file(&self, _: Request<ReadFileRequest>) -> Answer<Self::ReadFileStream> {
        Err(missing())
    }

    async fn create_upload(&self, _: Request<CreateUploadRequest>) -> Answer<Upload> {
        Err(missing())
    }

    async fn write_file(
        &self,
        _: Request<Streaming<WriteFileRequest>>,
    ) -> Answer<WriteFileResponse> {
        Err(missing())
    }

    async fn get_upload(&self, _: Request<GetUploadRequest>) -> Answer<Upload> {
        Err(missing())
    }

    async fn commit_upload(&self, _: Request<CommitUploadRequest>) -> Answer<FileEntry> {
        Err(missing())
    }

    async fn abort_upload(&self, _: Request<AbortUploadRequest>) -> Answer<AbortUploadResponse> {
        Err(missing())
    }

    type DownloadArchiveStream = Messages<DownloadArchiveResponse>;

    async fn download_archive(
        &self,
        request: Request<DownloadArchiveRequest>,
    ) -> Answer<Self::DownloadArchiveStream> {
        self.archive(request).await
    }
}
