//! A caller: typed clients that carry a token, and short forms of what tests ask for most.

use prost::Message as _;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use vfolder_proto::{
    google::longrunning::{
        CancelOperationRequest, GetOperationRequest, Operation, WaitOperationRequest,
        operations_client::OperationsClient,
    },
    v1::{
        CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest, GetVFolderRequest, Mount,
        MountMode, MountRequest, OperationMetadata, PurgeVFolderRequest, RestoreVFolderRequest,
        UnmountRequest, VFolder, VFolderStatus, file_service_client::FileServiceClient,
        mount_service_client::MountServiceClient, operation_service_client::OperationServiceClient,
        tree_service_client::TreeServiceClient, v_folder_service_client::VFolderServiceClient,
        volume_service_client::VolumeServiceClient,
    },
};

/// Adds the token to every request.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Authorized = InterceptedService<Channel, Bearer>;
type Answer<T> = Result<T, Status>;

/// A caller of the manager. Clones share the connection.
#[derive(Clone, Debug)]
pub struct User {
    /// VFolderService.
    pub vfolders: VFolderServiceClient<Authorized>,
    /// MountService.
    pub mounts: MountServiceClient<Authorized>,
    /// FileService.
    pub files: FileServiceClient<Authorized>,
    /// TreeService.
    pub trees: TreeServiceClient<Authorized>,
    /// VolumeService.
    pub volumes: VolumeServiceClient<Authorized>,
    /// google.longrunning.Operations.
    pub operations: OperationsClient<Authorized>,
    /// OperationService.
    pub operation_watch: OperationServiceClient<Authorized>,
}

impl User {
    /// Whoever brings this token.
    #[must_use]
    pub fn new(channel: Channel, token: &str) -> Self {
        let bearer = format!("Bearer {token}")
            .parse()
            .expect("a token is printable");
        let authorized = InterceptedService::new(channel, Bearer(bearer));
        Self {
            vfolders: VFolderServiceClient::new(authorized.clone()),
            mounts: MountServiceClient::new(authorized.clone()),
            files: FileServiceClient::new(authorized.clone()),
            trees: TreeServiceClient::new(authorized.clone()),
            volumes: VolumeServiceClient::new(authorized.clone()),
            operations: OperationsClient::new(authorized.clone()),
            operation_watch: OperationServiceClient::new(authorized),
        }
    }

    /// A new vfolder of this name.
    pub async fn create(&self, name: &str) -> Answer<VFolder> {
        let request = CreateVFolderRequest {
            vfolder: Some(named(name)),
            ..CreateVFolderRequest::default()
        };
        let answer = self.vfolders.clone().create_v_folder(request).await?;
        Ok(answer.into_inner())
    }

    /// The vfolder, DELETED or not.
    pub async fn get(&self, id: &str) -> Answer<VFolder> {
        let request = GetVFolderRequest {
            vfolder_id: id.into(),
            show_deleted: true,
        };
        Ok(self
            .vfolders
            .clone()
            .get_v_folder(request)
            .await?
            .into_inner())
    }

    /// The vfolder's status.
    pub async fn status(&self, id: &str) -> VFolderStatus {
        self.get(id).await.expect("the vfolder is visible").status()
    }

    /// Starts a clone.
    pub async fn clone_to(&self, source: &str, name: &str) -> Answer<Operation> {
        let request = CloneVFolderRequest {
            source_id: source.into(),
            vfolder: Some(named(name)),
            ..CloneVFolderRequest::default()
        };
        Ok(self
            .vfolders
            .clone()
            .clone_v_folder(request)
            .await?
            .into_inner())
    }

    /// To the trash.
    pub async fn trash(&self, id: &str) -> Answer<VFolder> {
        let request = DeleteVFolderRequest {
            vfolder_id: id.into(),
            ..DeleteVFolderRequest::default()
        };
        Ok(self
            .vfolders
            .clone()
            .delete_v_folder(request)
            .await?
            .into_inner())
    }

    /// Out of the trash.
    pub async fn restore(&self, id: &str) -> Answer<VFolder> {
        let request = RestoreVFolderRequest {
            vfolder_id: id.into(),
            ..RestoreVFolderRequest::default()
        };
        Ok(self
            .vfolders
            .clone()
            .restore_v_folder(request)
            .await?
            .into_inner())
    }

    /// Starts a purge out of the trash.
    pub async fn purge(&self, id: &str) -> Answer<Operation> {
        let request = PurgeVFolderRequest {
            vfolder_id: id.into(),
            ..PurgeVFolderRequest::default()
        };
        Ok(self
            .vfolders
            .clone()
            .purge_v_folder(request)
            .await?
            .into_inner())
    }

    /// A mount for a session, with the default time to live.
    pub async fn mount(&self, id: &str, session: &str, mode: MountMode) -> Answer<Mount> {
        let request = MountRequest {
            vfolder_id: id.into(),
            session: session.into(),
            mode: mode.into(),
            ttl: None,
        };
        Ok(self.mounts.clone().mount(request).await?.into_inner())
    }

    /// Releases a mount.
    pub async fn unmount(&self, mount: &Mount) -> Answer<()> {
        let request = UnmountRequest {
            vfolder_id: mount.vfolder_id.clone(),
            mount_id: mount.id.clone(),
            allow_missing: false,
        };
        self.mounts.clone().unmount(request).await.map(|_| ())
    }

    /// The operation as it is.
    pub async fn operation(&self, name: &str) -> Answer<Operation> {
        let request = GetOperationRequest { name: name.into() };
        Ok(self
            .operations
            .clone()
            .get_operation(request)
            .await?
            .into_inner())
    }

    /// The operation when it has ended.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn wait(&self, name: &str) -> Operation {
        let request = WaitOperationRequest {
            name: name.into(),
            timeout: None,
        };
        let waited = self.operations.clone().wait_operation(request).await;
        let operation = waited.expect("it can be waited for").into_inner();
        assert!(operation.done, "it has not ended: {operation:?}");
        operation
    }

    /// Asks to stop an operation.
    pub async fn cancel(&self, name: &str) -> Answer<()> {
        let request = CancelOperationRequest { name: name.into() };
        self.operations
            .clone()
            .cancel_operation(request)
            .await
            .map(|_| ())
    }
}

/// A vfolder as a request names it.
fn named(name: &str) -> VFolder {
    VFolder {
        name: name.into(),
        ..VFolder::default()
    }
}

/// What an operation says of itself.
///
/// # Panics
///
/// If it says nothing that can be read.
#[must_use]
pub fn operation_metadata(operation: &Operation) -> OperationMetadata {
    let any = operation
        .metadata
        .as_ref()
        .expect("an operation has metadata");
    assert_eq!(
        any.type_url,
        "type.googleapis.com/vfolder.v1.OperationMetadata"
    );
    OperationMetadata::decode(any.value.as_slice()).expect("the metadata can be read")
}
