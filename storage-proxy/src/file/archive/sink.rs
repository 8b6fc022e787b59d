//! Where the archive goes: to a reader who may be slow, or gone.

use std::io::{self, Write};

use bytes::BytesMut;
use thiserror::Error;
use tokio::{runtime::Handle, sync::mpsc};
use vfolder_common::error::Refusal;

use super::Chunk;
use crate::{file::Transfer, task::Guard};

/// Bytes that are sent at once.
pub(super) const CHUNK: usize = 256 << 10;

/// Why nothing more can be sent.
#[derive(Debug, Error)]
pub(super) enum Unsent {
    #[error("the reader has gone")]
    Gone,
    #[error("{0}")]
    Slow(Refusal),
    #[error("the tree has changed hands")]
    Cut,
}

pub(super) struct Sink<'a> {
    sender: &'a mpsc::Sender<Chunk>,
    runtime: &'a Handle,
    guard: &'a Guard,
    transfer: &'a Transfer,
    chunk: BytesMut,
}

impl<'a> Sink<'a> {
    pub fn new(
        sender: &'a mpsc::Sender<Chunk>,
        runtime: &'a Handle,
        guard: &'a Guard,
        transfer: &'a Transfer,
    ) -> Self {
        Self {
            sender,
            runtime,
            guard,
            transfer,
            chunk: BytesMut::new(),
        }
    }

    /// Waits until there is room.
    fn send(&mut self) -> Result<(), Unsent> {
        let chunk = self.chunk.split().freeze();
        let sending = async {
            tokio::select! {
                biased;
                // A reader who stands still must not keep the tree from changing hands.
                () = self.guard.cut() => Err(Unsent::Cut),
                sent = self.transfer.patiently(self.sender.send(Ok(Some(chunk)))) => match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(Unsent::Gone),
                    Err(refusal) => Err(Unsent::Slow(refusal)),
                },
            }
        };
        self.runtime.block_on(sending)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve(CHUNK);
        }
        let most = data.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&data[..most]);
        if self.chunk.len() >= CHUNK {
            self.send().map_err(io::Error::other)?;
        }
        Ok(most)
    }

    /// Only what is last is sent before it is a whole chunk.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink<'_> {
    /// Sends what is left.
    pub fn finish(mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.send().map_err(io::Error::other)
    }
}
