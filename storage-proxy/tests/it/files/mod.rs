//! The files' RPCs over the wire.

mod below;
mod crowd;
mod hostile;
mod moving;
mod removing;
mod searching;

use std::path::PathBuf;

use tonic::{Request, Status};
use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_proto::v1::{FileEntry, ListFilesRequest, ListFilesResponse};

use crate::proxy::{Proxy, set_up, set_up_in};

/// A vfolder, and who may do everything with it.
pub struct Desk {
    pub proxy: Proxy,
    pub vfolder: Uuid,
}

impl Desk {
    pub async fn new() -> Self {
        Self::of(Proxy::start_in(set_up()).await).await
    }

    /// On a volume below `path`.
    pub async fn within(path: &std::path::Path) -> Self {
        let dir = tempfile::TempDir::new_in(path).unwrap();
        Self::of(Proxy::start_in(set_up_in(dir)).await).await
    }

    pub async fn of(proxy: Proxy) -> Self {
        let vfolder = proxy.create().await;
        Self { proxy, vfolder }
    }

    pub fn id(&self) -> String {
        self.vfolder.to_string()
    }

    pub fn tree(&self) -> PathBuf {
        self.proxy.tree(self.vfolder)
    }

    pub fn ask<T>(&self, message: T) -> Request<T> {
        self.proxy
            .granted(self.vfolder, GrantMode::ReadWrite, message)
    }

    pub async fn list(&self, request: ListFilesRequest) -> Result<ListFilesResponse, Status> {
        let request = ListFilesRequest {
            vfolder_id: self.id(),
            ..request
        };
        let listed = self.proxy.files().list_files(self.ask(request)).await;
        listed.map(tonic::Response::into_inner)
    }

    /// All pages of a list, and how many there were.
    pub async fn list_all(&self, mut request: ListFilesRequest) -> (Vec<FileEntry>, usize) {
        let (mut entries, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.list(request.clone()).await.unwrap();
            entries.extend(page.entries);
            pages += 1;
            if page.next_page_token.is_empty() {
                return (entries, pages);
            }
            request.page_token = page.next_page_token;
        }
    }
}

/// The bytes that a name or path stands for.
pub fn bytes<'a>(text: &'a str, bytes: &'a [u8]) -> &'a [u8] {
    if bytes.is_empty() {
        text.as_bytes()
    } else {
        bytes
    }
}

pub fn path_of(entry: &FileEntry) -> Vec<u8> {
    bytes(&entry.path, &entry.path_bytes).to_vec()
}

pub fn name_of(entry: &FileEntry) -> Vec<u8> {
    bytes(&entry.name, &entry.name_bytes).to_vec()
}
