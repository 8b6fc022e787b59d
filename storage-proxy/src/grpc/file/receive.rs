//! The data of a WriteFile, from its stream to the disk.

use std::pin::pin;

use bytes::Bytes;
use tonic::{Status, Streaming};
use vfolder_common::error::{Fields, Refusal};
use vfolder_proto::v1::{WriteFileRequest, write_file_request::To};

use crate::{file::UploadWriter, grpc::reasoned};

const LARGEST_DATA: usize = 2 << 20;
/// Bytes that are taken off the stream while those before them are written, to be written together: each write is a change
/// of threads, which costs about what copying 64 KiB does. A message is taken whole, whatever its size.
const GATHERED: usize = 1 << 20;

/// Data that came while other data was written.
#[derive(Debug, Default)]
struct Batch {
    data: Vec<Bytes>,
    bytes: usize,
    ended: bool,
}

/// Writes `first`, and all that comes after it.
///
/// # Errors
/// FIELD_INVALID; those of [`UploadWriter::write`] and [`UploadWriter::patiently`]; what breaks the stream off.
pub async fn receive(
    writer: &mut UploadWriter,
    first: Bytes,
    mut stream: Streaming<WriteFileRequest>,
) -> Result<(), Status> {
    let mut batch = Batch::default();
    batch.push(first);
    loop {
        if batch.data.is_empty() {
            if batch.ended {
                return Ok(());
            }
            let next = writer.patiently(next_of(&mut stream)).await??;
            batch.take(next)?;
        }
        batch = write(writer, batch, &mut stream).await?;
    }
}

/// Writes what there is, and takes what comes meanwhile.
async fn write(
    writer: &mut UploadWriter,
    batch: Batch,
    stream: &mut Streaming<WriteFileRequest>,
) -> Result<Batch, Status> {
    let mut next = Batch {
        ended: batch.ended,
        ..Batch::default()
    };
    // What the stream says after the last good message waits until that is written: it has arrived.
    let mut broken = None;
    {
        let mut writing = pin!(writer.write_all(batch.data));
        loop {
            let wants_more = !next.ended && next.bytes < GATHERED && broken.is_none();
            tokio::select! {
                biased;
                written = &mut writing => {
                    written?;
                    break;
                }
                message = next_of(stream), if wants_more => {
                    broken = message.and_then(|message| Ok(next.take(message)?)).err();
                }
            }
        }
    }
    match broken {
        None => Ok(next),
        Some(status) => {
            writer.write_all(next.data).await?;
            Err(status)
        }
    }
}

/// The next message.
///
/// # Errors
/// In our words, why it can't be read.
pub async fn next_of(
    stream: &mut Streaming<WriteFileRequest>,
) -> Result<Option<WriteFileRequest>, Status> {
    let next = stream.message().await;
    next.map_err(|status| reasoned(&status).map_or(status, Status::from))
}

impl Batch {
    fn take(&mut self, message: Option<WriteFileRequest>) -> Result<(), Refusal> {
        match message {
            None => self.ended = true,
            Some(message) => {
                check_next(&message)?;
                self.push(message.data);
            }
        }
        Ok(())
    }

    fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.bytes += data.len();
            self.data.push(data);
        }
    }
}

/// A message that is not the first.
fn check_next(message: &WriteFileRequest) -> Result<(), Refusal> {
    let mut fields = Fields::default();
    for (field, is_set) in [
        ("vfolder_id", !message.vfolder_id.is_empty()),
        ("upload_id", matches!(message.to, Some(To::UploadId(_)))),
        ("file", matches!(message.to, Some(To::File(_)))),
        ("offset", message.offset.is_some()),
        ("check", message.check.is_some()),
    ] {
        if is_set {
            fields.wrong(field, "is for the first message of the stream");
        }
    }
    fields.finish()?;
    check_data(message)
}

/// # Errors
/// FIELD_INVALID for more than a message may have.
pub fn check_data(message: &WriteFileRequest) -> Result<(), Refusal> {
    if message.data.len() > LARGEST_DATA {
        return Err(Refusal::field(
            "data",
            "must be at most 2 MiB, 2097152; send more messages",
        ));
    }
    Ok(())
}
