//! A task's news as a stream.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vfolder_common::error::Exceeded;
use vfolder_proto::storage::{
    ExceededLimit, RunTaskResponse, TaskFailure, TaskOutcome, TaskProgress, TaskReceipt,
    run_task_response::News,
};

use crate::{
    refuse,
    task::{Attachment, End, Outcome, Refused},
    tree::Progress,
};

/// The shortest time between two messages of progress.
const INTERVAL: Duration = Duration::from_millis(100);
/// A client that doesn't read is not sent more.
const BUFFERED: usize = 4;

/// Progress when it changes, and then the outcome. Hanging up ends the stream and not the task.
pub fn news(mut task: Attachment) -> ReceiverStream<Result<RunTaskResponse, Status>> {
    let (sender, receiver) = mpsc::channel(BUFFERED);
    tokio::spawn(async move {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        let end = loop {
            tokio::select! {
                biased;
                end = task.end() => break end,
                () = sender.closed() => return,
                _ = ticks.tick() => {}
            }
            let now = task.progress();
            if told != Some(now) {
                told = Some(now);
                if sender
                    .send(Ok(message(News::Progress(progress(now)))))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        };
        let last = match end {
            End::Outcome(ended) => Ok(message(News::Outcome(outcome(ended)))),
            End::ArgumentsDiffer => Err(refuse::by_tasks(&Refused::ArgumentsDiffer).into()),
            End::Suspended => Err(refuse::by_tasks(&Refused::Stopping).into()),
        };
        let _ = sender.send(last).await;
    });
    ReceiverStream::new(receiver)
}

fn message(news: News) -> RunTaskResponse {
    RunTaskResponse { news: Some(news) }
}

fn progress(progress: Progress) -> TaskProgress {
    TaskProgress {
        entries_done: progress.entries_done,
        entries_total: progress.entries_total,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
    }
}

fn exceeded(exceeded: Exceeded) -> ExceededLimit {
    ExceededLimit {
        subject: exceeded.subject,
        unit: exceeded.unit.into_owned(),
        limit: exceeded.limit,
        used: exceeded.used,
        asked: exceeded.asked,
    }
}

fn outcome(outcome: Outcome) -> TaskOutcome {
    TaskOutcome {
        progress: Some(progress(outcome.progress)),
        failure: outcome.failure.map(|failure| TaskFailure {
            reason: refuse::reason(failure.kind).as_str().to_owned(),
            message: failure.message,
            retryable: failure.retryable,
            exceeded: failure.exceeded.map(|of| exceeded(*of)),
        }),
        receipt: outcome.receipt.map(|receipt| TaskReceipt {
            digest: receipt.digest,
            entries: receipt.entries,
            bytes: receipt.bytes,
            disturbed: receipt.disturbed,
        }),
    }
}
