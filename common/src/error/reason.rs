//! Why a request is refused, as programs see it.

use tonic::Code;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal => $code:ident),* $(,)?) => {
        /// The `reason` of `google.rpc.ErrorInfo`: stable, for programs. Each maps to one gRPC code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant),* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it goes over the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The gRPC code that this reason always comes with.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code),* }
            }
        }
    };
}

reasons! {
    /// No `authorization` header.
    CredentialsMissing = "CREDENTIALS_MISSING" => Unauthenticated,
    /// A token that doesn't verify.
    CredentialsInvalid = "CREDENTIALS_INVALID" => Unauthenticated,
    /// A token past its expiry.
    CredentialsExpired = "CREDENTIALS_EXPIRED" => Unauthenticated,
    /// The caller may see the vfolder, not do this.
    PermissionTooSmall = "PERMISSION_TOO_SMALL" => PermissionDenied,
    /// Absent, or not visible to the caller: the two look the same.
    VFolderNotFound = "VFOLDER_NOT_FOUND" => NotFound,
    /// No such mount, or it has expired.
    MountNotFound = "MOUNT_NOT_FOUND" => NotFound,
    /// No such operation, or not visible to the caller.
    OperationNotFound = "OPERATION_NOT_FOUND" => NotFound,
    /// No volume is configured by that name.
    VolumeNotFound = "VOLUME_NOT_FOUND" => NotFound,
    /// The status refuses and will end by itself.
    VFolderBusy = "VFOLDER_BUSY" => Aborted,
    /// The status refuses until somebody acts.
    VFolderStatus = "VFOLDER_STATUS" => FailedPrecondition,
    /// The record has changed since the caller read it.
    EtagMismatch = "ETAG_MISMATCH" => Aborted,
    /// The owner has another vfolder of that name.
    NameTaken = "NAME_TAKEN" => AlreadyExists,
    /// The request id came before with other arguments.
    RequestIdReused = "REQUEST_ID_REUSED" => AlreadyExists,
    /// The session holds a mount of the vfolder in another mode.
    MountExists = "MOUNT_EXISTS" => AlreadyExists,
    /// The operation has not ended.
    OperationLive = "OPERATION_LIVE" => FailedPrecondition,
    /// The operation can't be cancelled any more.
    OperationNotCancellable = "OPERATION_NOT_CANCELLABLE" => FailedPrecondition,
    /// One or more fields are wrong; BadRequest names them.
    FieldInvalid = "FIELD_INVALID" => InvalidArgument,
    /// The request's message doesn't decode.
    MessageMalformed = "MESSAGE_MALFORMED" => InvalidArgument,
    /// The request's message is larger than the limit.
    MessageTooLarge = "MESSAGE_TOO_LARGE" => ResourceExhausted,
    /// The request's message is compressed in a way that the service doesn't know.
    CompressionUnsupported = "COMPRESSION_UNSUPPORTED" => Unimplemented,
    /// There is no such RPC.
    MethodUnknown = "METHOD_UNKNOWN" => Unimplemented,
    /// The client sent no message in time.
    MessageTimeout = "MESSAGE_TIMEOUT" => DeadlineExceeded,
    /// The request's own deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED" => DeadlineExceeded,
    /// No storage-proxy answers for the volume.
    VolumeUnavailable = "VOLUME_UNAVAILABLE" => Unavailable,
    /// The database does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE" => Unavailable,
    /// The service stops; another or the same will answer soon.
    ShuttingDown = "SHUTTING_DOWN" => Unavailable,
    /// A limit on bytes or files.
    QuotaExceeded = "QUOTA_EXCEEDED" => ResourceExhausted,
    /// A limit on the number of vfolders or the like.
    CountExceeded = "COUNT_EXCEEDED" => ResourceExhausted,
    /// As many operations wait as may.
    QueueFull = "QUEUE_FULL" => ResourceExhausted,
    /// What the change feed's token stands for is gone.
    FeedExpired = "FEED_EXPIRED" => OutOfRange,
    /// No space or no inodes left.
    VolumeFull = "VOLUME_FULL" => ResourceExhausted,
    /// The volume is mounted read-only.
    VolumeReadOnly = "VOLUME_READ_ONLY" => FailedPrecondition,
    /// The filesystem reported an error.
    IoError = "IO_ERROR" => Internal,
    /// The tree to work on is not there.
    SourceMissing = "SOURCE_MISSING" => DataLoss,
    /// What the tree holds can't be worked on (a mount point inside it, …).
    TreeUnsupported = "TREE_UNSUPPORTED" => FailedPrecondition,
    /// ResetStatus would lose data.
    ResetUnsafe = "RESET_UNSAFE" => FailedPrecondition,
    /// The operation was cancelled.
    Cancelled = "CANCELLED" => Cancelled,
    /// The path leads to nothing.
    FileNotFound = "FILE_NOT_FOUND" => NotFound,
    /// The path leads to something already.
    FileExists = "FILE_EXISTS" => AlreadyExists,
    /// A component of the path is no directory.
    NotADirectory = "NOT_A_DIRECTORY" => FailedPrecondition,
    /// A component of the path is a symlink.
    SymlinkInPath = "SYMLINK_IN_PATH" => FailedPrecondition,
    /// The filesystem's own permissions refuse.
    FilePermission = "FILE_PERMISSION" => PermissionDenied,
    /// The path leads to something else than a regular file.
    NotAFile = "NOT_A_FILE" => FailedPrecondition,
    /// The directory is not empty.
    DirectoryNotEmpty = "DIRECTORY_NOT_EMPTY" => FailedPrecondition,
    /// The file was written while it was read.
    FileChanged = "FILE_CHANGED" => Aborted,
    /// No such upload, or it has expired.
    UploadNotFound = "UPLOAD_NOT_FOUND" => NotFound,
    /// Part of the upload has not arrived.
    UploadIncomplete = "UPLOAD_INCOMPLETE" => FailedPrecondition,
    /// Somebody else writes the same part of the upload, or ends it, at this moment.
    UploadBusy = "UPLOAD_BUSY" => Aborted,
    /// The upload is in the tree already.
    UploadCommitted = "UPLOAD_COMMITTED" => FailedPrecondition,
    /// What has arrived is not what was announced.
    DigestMismatch = "DIGEST_MISMATCH" => FailedPrecondition,
    /// The file is no archive that can be unpacked safely.
    ArchiveInvalid = "ARCHIVE_INVALID" => FailedPrecondition,
    /// The archive unpacks to more than it may.
    ArchiveTooLarge = "ARCHIVE_TOO_LARGE" => ResourceExhausted,
    /// As many requests at once as may be.
    TooManyRequests = "TOO_MANY_REQUESTS" => ResourceExhausted,
    /// A transfer stood still for too long.
    TransferTimeout = "TRANSFER_TIMEOUT" => DeadlineExceeded,
    /// A call to the storage-proxy without a grant or service token.
    GrantMissing = "GRANT_MISSING" => Unauthenticated,
    /// A grant or service token that doesn't verify or has expired.
    GrantInvalid = "GRANT_INVALID" => Unauthenticated,
    /// A read-only grant, or one for another vfolder.
    GrantTooSmall = "GRANT_TOO_SMALL" => PermissionDenied,
    /// The vfolder has changed hands since the grant or the request was made.
    GrantStale = "GRANT_STALE" => Aborted,
    /// The task is running.
    TaskRunning = "TASK_RUNNING" => FailedPrecondition,
    /// A fault of ours; the log has the rest under the incident number.
    Internal = "INTERNAL" => Internal,
}

impl Reason {
    /// The reason of this wire text, if it is one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == text)
    }
}

impl Reason {
    /// The reason that a status carries, if it is one of ours.
    #[must_use]
    pub fn of(status: &tonic::Status) -> Option<Self> {
        use tonic_types::StatusExt as _;

        let info = status.get_details_error_info()?;
        (info.domain == super::DOMAIN)
            .then(|| Self::parse(&info.reason))
            .flatten()
    }
}
