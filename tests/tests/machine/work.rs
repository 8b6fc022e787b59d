//! Calls about what is inside a tree: work as operations, limits, and the way past the manager.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use prost::Message as _;
use prost_types::FieldMask;
use tonic::{Request, transport::Channel};
use vfolder_common::error::Reason;
use vfolder_manager::model::Kind;
use vfolder_proto::{
    google::rpc::{self, ErrorInfo},
    v1::{
        CreateDirectoryRequest, CreateGrantRequest, ExistingFiles, ExtractArchiveRequest,
        MountMode, RecountUsageRequest, RemoveTreeRequest, UpdateVFolderRequest, VFolder,
        file_service_client::FileServiceClient,
    },
};
use vfolder_tests::{User, fill};

use super::drive::World;

/// The archive that every tree has.
pub const PACKED: &str = "packed.tar";
/// Where it is unpacked.
pub const OUT: &str = "out";
/// Enough for the next steps to meet an extraction.
const FILES: usize = 400;

/// Makes a tree in `folder`, and beside it an archive of it. Where the tree is.
pub fn pack(folder: &Path) -> PathBuf {
    let source = folder.join("to-unpack");
    fs::create_dir(&source).unwrap();
    fill(&source, FILES, 100);
    let packed = Command::new("tar")
        .args(["--format=pax", "-cf"])
        .arg(source.with_extension("tar"))
        .arg("-C")
        .arg(&source)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    source
}

/// What an operation's error says for programs.
pub fn reason_of(error: &rpc::Status) -> Reason {
    let mut infos = error.details.iter();
    let info = infos.find_map(|any| {
        let is_info = any.type_url.ends_with("google.rpc.ErrorInfo");
        is_info.then(|| ErrorInfo::decode(any.value.as_slice()).unwrap())
    });
    Reason::parse(&info.unwrap().reason).unwrap()
}

impl World {
    pub async fn extract(&mut self, v: usize) {
        let request = ExtractArchiveRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            path: PACKED.into(),
            destination: OUT.into(),
            existing: ExistingFiles::Replace.into(),
            ..ExtractArchiveRequest::default()
        };
        let asked = async |mut a: User| a.trees.extract_archive(request).await;
        if let Some(begun) = self.ask(|r| r.may_work(v), asked).await {
            self.begun(Kind::Extract, begun.get_ref(), v, None);
        }
    }

    pub async fn remove(&mut self, v: usize) {
        let request = RemoveTreeRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            paths: vec![OUT.into()],
            missing_ok: true,
            ..RemoveTreeRequest::default()
        };
        let asked = async |mut a: User| a.trees.remove_tree(request).await;
        if let Some(begun) = self.ask(|r| r.may_work(v), asked).await {
            self.begun(Kind::Remove, begun.get_ref(), v, None);
        }
    }

    pub async fn recount(&mut self, v: usize) {
        let request = RecountUsageRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
        };
        let asked = async |mut a: User| a.vfolders.recount_usage(request).await;
        if let Some(begun) = self.ask(|r| r.may_list(v), asked).await {
            self.begun(Kind::Recount, begun.get_ref(), v, None);
        }
    }

    pub async fn limit(&mut self, v: usize, tight: bool) {
        let request = UpdateVFolderRequest {
            vfolder: Some(VFolder {
                id: self.reference.vfolders[v].id.clone(),
                max_files: Some(i64::from(tight)),
                ..VFolder::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["max_files".into()],
            }),
            validate_only: false,
        };
        let asked = async |mut a: User| a.vfolders.update_v_folder(request).await;
        if self.ask(|r| r.may_update(v, None), asked).await.is_some() {
            self.reference.vfolders[v].tight = tight;
        }
    }

    pub async fn make_directory_by_grant(&mut self, v: usize, name: String) {
        let id = self.reference.vfolders[v].id.clone();
        let may = |r: &super::reference::Reference| r.may_make_directory(v, &name);
        let asked = async |mut a: User| {
            let request = CreateGrantRequest {
                vfolder_id: id.clone(),
                mode: MountMode::ReadWrite.into(),
                ..CreateGrantRequest::default()
            };
            let grant = a.grants.create_grant(request).await?.into_inner();
            let mut request = Request::new(CreateDirectoryRequest {
                vfolder_id: id.clone(),
                path: name.clone(),
                ..CreateDirectoryRequest::default()
            });
            let bearer = format!("Bearer {}", grant.token).parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
            let channel = Channel::from_shared(grant.grpc_url).unwrap();
            let mut files = FileServiceClient::new(channel.connect_lazy());
            files.create_directory(request).await
        };
        if self.ask(may, asked).await.is_some() {
            self.reference.vfolders[v].directories.insert(name);
        }
    }
}
