//! Following an operation.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::{Duration, Instant},
};

use tonic::Streaming;
use vfolder_proto::{
    google::longrunning::Operation,
    v1::{OperationProgress, OperationServiceWatchRequest},
};
use vfolder_tests::{User, operation_metadata};

use crate::{Told, say};

/// An operation that is being watched.
pub(crate) struct Watched {
    stream: Streaming<Operation>,
    start: Instant,
}

impl Watched {
    /// Begins to watch.
    pub(crate) async fn new(user: &User, operation: &str) -> Told<Self> {
        let request = OperationServiceWatchRequest {
            name: operation.to_owned(),
        };
        let stream = user.operation_watch.clone().watch(request).await;
        let stream = stream.map_err(|e| format!("the operation can't be watched: {e}"))?;
        Ok(Self {
            stream: stream.into_inner(),
            start: Instant::now(),
        })
    }

    /// The next news.
    pub(crate) async fn next(&mut self) -> Told<Operation> {
        let news = self.stream.message().await;
        let news = news.map_err(|e| format!("the watch broke: {e}"))?;
        let operation = news.ok_or("the watch ended before the operation")?;
        show(&operation, self.start.elapsed());
        Ok(operation)
    }

    /// All news, to the end, which is to be a success.
    pub(crate) async fn finish(mut self) -> Told<Duration> {
        loop {
            let operation = self.next().await?;
            if operation.done {
                return match operation.result {
                    Some(vfolder_proto::google::longrunning::operation::Result::Response(_)) => {
                        Ok(self.start.elapsed())
                    }
                    other => Err(format!("the operation did not succeed: {other:?}")),
                };
            }
        }
    }
}

fn show(operation: &Operation, elapsed: Duration) {
    let metadata = operation_metadata(operation);
    let state = metadata.state();
    let OperationProgress {
        files_done,
        files_total,
        bytes_done,
        bytes_total,
        ..
    } = metadata.progress.unwrap_or_default();
    let line = format!(
        "{elapsed:>8.1?}  {:<9}  {files_done:>6} of {files_total} entries, {} of {} MB",
        state.as_str_name(),
        bytes_done / 1_000_000,
        bytes_total / 1_000_000,
    );
    if stdout().is_terminal() && !operation.done {
        print!("\r   {line}\x1b[K");
        let _ = stdout().flush();
    } else {
        if stdout().is_terminal() {
            print!("\r");
        }
        say(line);
    }
}
