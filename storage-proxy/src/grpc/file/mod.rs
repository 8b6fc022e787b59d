//! FileService: the files inside a vfolder, for users, by way of the manager or directly. One verb a file.

mod archive;
mod directory;
mod entry;
mod list;
mod page;
mod read;
mod receive;
mod remove;
mod rename;
mod search;
mod stat;
mod upload;
mod write;

use std::pin::Pin;

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};
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

#[tonic::async_trait]
impl FileService for Service {
    async fn list_files(&self, request: Request<ListFilesRequest>) -> Answer<ListFilesResponse> {
        self.list(request).await
    }

    async fn stat_file(&self, request: Request<StatFileRequest>) -> Answer<FileEntry> {
        self.stat(request).await
    }

    async fn search_files(
        &self,
        request: Request<SearchFilesRequest>,
    ) -> Answer<SearchFilesResponse> {
        self.search(request).await
    }

    async fn get_usage(&self, request: Request<GetUsageRequest>) -> Answer<GetUsageResponse> {
        self.count(request).await
    }

    async fn create_directory(
        &self,
        request: Request<CreateDirectoryRequest>,
    ) -> Answer<FileEntry> {
        self.make_directory(request).await
    }

    async fn move_file(&self, request: Request<MoveFileRequest>) -> Answer<FileEntry> {
        self.rename(request).await
    }

    async fn remove_files(
        &self,
        request: Request<RemoveFilesRequest>,
    ) -> Answer<RemoveFilesResponse> {
        self.remove(request).await
    }

    type ReadFileStream = Messages<ReadFileResponse>;

    async fn read_file(&self, request: Request<ReadFileRequest>) -> Answer<Self::ReadFileStream> {
        self.read(request).await
    }

    async fn create_upload(&self, request: Request<CreateUploadRequest>) -> Answer<Upload> {
        self.begin_upload(request).await
    }

    async fn write_file(
        &self,
        request: Request<Streaming<WriteFileRequest>>,
    ) -> Answer<WriteFileResponse> {
        self.write(request).await
    }

    async fn get_upload(&self, request: Request<GetUploadRequest>) -> Answer<Upload> {
        self.tell_upload(request).await
    }

    async fn commit_upload(&self, request: Request<CommitUploadRequest>) -> Answer<FileEntry> {
        self.commit(request).await
    }

    async fn abort_upload(
        &self,
        request: Request<AbortUploadRequest>,
    ) -> Answer<AbortUploadResponse> {
        self.abort(request).await
    }

    type DownloadArchiveStream = Messages<DownloadArchiveResponse>;

    async fn download_archive(
        &self,
        request: Request<DownloadArchiveRequest>,
    ) -> Answer<Self::DownloadArchiveStream> {
        self.archive(request).await
    }
}
