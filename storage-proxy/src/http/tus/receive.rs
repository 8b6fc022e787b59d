//! The bytes of an upload, as a body brings them.

use axum::body::BodyDataStream;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use tokio_stream::StreamExt as _;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use super::{
    checksum::Checksum,
    headers::{UPLOAD_OFFSET, of_number},
};
use crate::{
    file::{FileCheck, Start, Transfer, UploadState, UploadWriter},
    http::{answer::Refused, routes::Http},
};

/// Bytes that are written at once, at least while more is there.
const ENOUGH: usize = 512 << 10;

/// A body, and what it has to be.
pub struct Body {
    data: BodyDataStream,
    checksum: Option<Checksum>,
}

impl Body {
    /// Reads the headers, and nothing of the body yet.
    pub fn read(headers: &HeaderMap, body: axum::body::Body) -> Result<Self, Refusal> {
        Ok(Self {
            data: body.into_data_stream(),
            checksum: Checksum::asked(headers)?,
        })
    }

    /// The next bytes; none at the end.
    async fn next(&mut self, writer: &UploadWriter) -> Result<Option<Bytes>, Refusal> {
        let next = writer.patiently(self.data.next()).await?;
        next.transpose().map_err(|_| {
            let text = "the body broke off; ask by HEAD how much of it has arrived";
            Refusal::new(Reason::Cancelled, text)
        })
    }
}

/// Writes a body into an upload. What has arrived of a body that breaks off counts, unless there is a checksum for the
/// whole of it.
pub async fn receive(
    http: &Http,
    grant: &Grant,
    state: UploadState,
    start: Start,
    body: Body,
) -> Result<UploadState, Refused> {
    let transfer = http.files.begin_transfer(grant.vfolder)?;
    receive_in(transfer, http, grant, state, start, body).await
}

/// As [`receive`], for whoever has a place among the transfers.
pub async fn receive_in(
    transfer: Transfer,
    http: &Http,
    grant: &Grant,
    state: UploadState,
    start: Start,
    mut body: Body,
) -> Result<UploadState, Refused> {
    let writing = http.files.write_upload_in(transfer, grant, state.id, start);
    let mut writer = match writing.await {
        // Nothing else of the request is left that could be wrong.
        Err(refusal) if refusal.reason() == Reason::FieldInvalid => {
            return Err(elsewhere(http, grant, &state).await?);
        }
        writer => writer?,
    };
    if body.checksum.is_some() {
        writer = writer.whole_or_nothing();
    }
    let written = write(&mut writer, &mut body).await;
    let state = match body.checksum {
        Some(checksum) => {
            written?;
            checksum.check()?;
            writer.finish().await?
        }
        None => {
            let state = writer.finish().await?;
            written?;
            state
        }
    };
    settle(http, grant, state).await
}

/// 409: the bytes do not go on where the upload is.
async fn elsewhere(http: &Http, grant: &Grant, state: &UploadState) -> Result<Refused, Refusal> {
    let offset = http.files.upload(grant, state.id).await?.offset;
    let text = format!("must be {offset}, which is how far the upload is");
    let refused = Refused::from(Refusal::field("Upload-Offset", text));
    Ok(refused
        .with_status(StatusCode::CONFLICT)
        .with_header(UPLOAD_OFFSET, of_number(offset)))
}

/// What has come is written as soon as nothing more is there at this moment, or it is enough: hyper has it in small pieces,
/// each of which would cost a change of threads.
async fn write(writer: &mut UploadWriter, body: &mut Body) -> Result<(), Refusal> {
    let mut came = BytesMut::new();
    loop {
        let next = match body.next(writer).now_or_never() {
            Some(next) => next,
            None => {
                writer.write(came.split().freeze()).await?;
                body.next(writer).await
            }
        };
        match next {
            Ok(Some(bytes)) => {
                if let Some(checksum) = &mut body.checksum {
                    checksum.update(&bytes);
                }
                came.extend_from_slice(&bytes);
                if came.len() >= ENOUGH {
                    writer.write(came.split().freeze()).await?;
                }
            }
            ended => {
                writer.write(came.freeze()).await?;
                return ended.map(|_| ());
            }
        }
    }
}

/// Makes an upload appear in the tree if all of it is there.
pub async fn settle(
    http: &Http,
    grant: &Grant,
    state: UploadState,
) -> Result<UploadState, Refused> {
    if state.committed || state.size != Some(state.offset) {
        return Ok(state);
    }
    let id = state.id;
    http.files
        .commit_upload(grant, id, FileCheck::default())
        .await?;
    Ok(UploadState {
        committed: true,
        ..state
    })
}
