//! WriteFile.

use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;
use vfolder_common::{
    error::{Fields, Reason, Refusal},
    token::{Grant, GrantMode},
};
use vfolder_proto::v1::{
    UploadTarget, WriteFileRequest, WriteFileResponse, write_file_request::To,
};

use super::{
    Answer, Service,
    receive::{check_data, next_of, receive},
    upload::{check, target, upload, upload_id},
};
use crate::file::{Start, granted};

impl Service {
    pub(super) async fn write(
        &self,
        request: Request<Streaming<WriteFileRequest>>,
    ) -> Answer<WriteFileResponse> {
        let (_, extensions, mut stream) = request.into_parts();
        // How long it may take is known once there is a grant, and a place among the transfers.
        let first = tokio::time::timeout(self.files.limits().idle, next_of(&mut stream)).await;
        let first = first.map_err(|_| silent())??;
        let mut first = first.ok_or_else(|| Refusal::field("vfolder_id", "must be set"))?;
        let grant = granted(extensions.get(), &first.vfolder_id, GrantMode::ReadWrite)?;
        check_data(&first)?;
        let written = match first.to.take() {
            None => Err(Refusal::field("upload_id", "set this, or file").into()),
            Some(To::UploadId(id)) => self.write_part(&grant, &id, first, stream).await,
            Some(To::File(file)) => self.write_whole(&grant, file, first, stream).await,
        };
        written.map(Response::new)
    }

    /// Into an upload.
    async fn write_part(
        &self,
        grant: &Grant,
        id: &str,
        first: WriteFileRequest,
        stream: Streaming<WriteFileRequest>,
    ) -> Result<WriteFileResponse, Status> {
        let mut fields = Fields::default();
        let id: Uuid = upload_id("upload_id", id, &mut fields);
        let offset = first
            .offset
            .map(|offset| u64::try_from(offset).map_err(|_| "must not be negative"));
        let offset = offset.and_then(|offset| fields.check("offset", offset));
        if first.check.is_some() {
            fields.wrong(
                "check",
                "is for `file`; an upload is checked by CommitUpload",
            );
        }
        fields.finish()?;
        let start = offset.map_or(Start::Next, Start::At);
        let mut writer = self.files.write_upload(grant, id, start).await?;
        receive(&mut writer, first.data, stream).await?;
        let written = signed(writer.written());
        let state = writer.finish().await?;
        Ok(WriteFileResponse {
            upload: Some(upload(state)),
            written,
            ..WriteFileResponse::default()
        })
    }

    /// A whole file.
    async fn write_whole(
        &self,
        grant: &Grant,
        file: UploadTarget,
        first: WriteFileRequest,
        stream: Streaming<WriteFileRequest>,
    ) -> Result<WriteFileResponse, Status> {
        let mut fields = Fields::default();
        let new = target("file", Some(file), &mut fields);
        let check = check(first.check, &mut fields);
        if first.offset.is_some_and(|offset| offset != 0) {
            fields.wrong("offset", "is for an upload; a file begins at its beginning");
        }
        fields.finish()?;
        let mut writer = self.files.write_whole(grant, new, check).await?;
        if let Err(status) = receive(writer.writer(), first.data, stream).await {
            writer.give_up().await;
            return Err(status);
        }
        let whole = writer.finish().await?;
        Ok(WriteFileResponse {
            upload: None,
            blake3: whole.blake3.to_vec().into(),
            written: signed(whole.written),
        })
    }
}

fn silent() -> Refusal {
    Refusal::new(
        Reason::MessageTimeout,
        "no message has come; send the first one sooner",
    )
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
