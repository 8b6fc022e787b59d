//! Messages of a stream, decoded while the one before is written.

use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Status, Streaming};
use vfolder_common::error::Refusal;

/// A stream that is read one message ahead; dropped, it is read no more.
pub struct Ahead<T> {
    messages: mpsc::Receiver<Result<Option<T>, Status>>,
    _reader: JoinSet<()>,
}

/// The reader is gone without a word: a fault of ours, and never taken for the end of the stream.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the stream any more")]
struct ReaderLost;

impl<T: Send + 'static> Ahead<T> {
    pub fn new(mut stream: Streaming<T>) -> Self {
        let (sender, messages) = mpsc::channel(1);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            loop {
                let message = stream.message().await;
                let more = matches!(message, Ok(Some(_)));
                if sender.send(message).await.is_err() || !more {
                    break;
                }
            }
        });
        Self {
            messages,
            _reader: reader,
        }
    }

    /// The next message; nothing once the stream has ended well.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        let next = self.messages.recv().await;
        next.unwrap_or_else(|| Err(Refusal::internal(&ReaderLost).into()))
    }
}
