//! One call: sent, answered or given up, written down.

use std::time::Duration;

use tokio::time;
use tonic::Status;

use super::{Client, caller::outcome_of, registry::Card};
use crate::{
    User,
    storm::history::{Call, Deed, Outcome, Seen, Told},
};

/// After this a client stops waiting for an answer: well below the longest pause, so that late effects happen.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a request that may be repeated is repeated.
const ATTEMPTS: u32 = 8;

/// Whether an unanswered request is sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Doing it twice is doing it once: it carries a request_id, or says what it wants to be so.
    Until,
    /// Twice would be twice.
    Never,
}

impl Client {
    /// Sends a request to some manager; if it may be repeated, to others until one answers. What was answered.
    pub(super) async fn ask<R: Clone, T, F: Future<Output = Result<T, Status>>>(
        &mut self,
        deed: Deed,
        repeat: Repeat,
        request: R,
        send: impl Fn(User, R) -> F,
        read: impl Fn(&T) -> Told,
    ) -> Result<T, Outcome> {
        let clock = self.shared.world.clock;
        let start = clock.now();
        let mut open_attempts = 0;
        loop {
            let user = self.caller.via(self.dice.usize(..64)).clone();
            let answer = match time::timeout(PATIENCE, send(user, request.clone())).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::deadline_exceeded("the client waited long enough")),
            };
            let outcome = match &answer {
                Ok(answer) => Outcome::Done(read(answer)),
                Err(status) => outcome_of(status),
            };
            if matches!(outcome, Outcome::Unknown(_)) && repeat == Repeat::Until {
                open_attempts += 1;
                if open_attempts < ATTEMPTS {
                    time::sleep(Duration::from_millis(self.dice.u64(50..400))).await;
                    continue;
                }
            }
            if let Outcome::Done(told) = &outcome {
                self.note(told);
            }
            self.shared.history.add(Call {
                client: self.number,
                deed,
                start,
                end: clock.now(),
                open_attempts,
                outcome: outcome.clone(),
            });
            return answer.map_err(|_| outcome);
        }
    }

    fn note(&self, told: &Told) {
        let note = |seen: &Seen| {
            self.shared.registry.note(Card {
                id: seen.id,
                status: seen.status,
                revision: seen.revision,
            });
        };
        match told {
            Told::VFolder(seen) => note(seen),
            Told::VFolders(all) => all.iter().for_each(note),
            Told::Nothing | Told::Operation { .. } | Told::Mount { .. } => {}
        }
    }
}
