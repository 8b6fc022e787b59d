//! Telling the other managers that something was committed, over PostgreSQL's LISTEN and NOTIFY.
//!
//! What is lost costs a tick: every waiter looks by itself from time to time. PostgreSQL lets one transaction at a time
//! commit a notification, so what nobody else waits for, progress above all, is not sent.

use std::{pin::pin, time::Duration};

use diesel::sql_types::Text;
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use futures_util::StreamExt as _;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{Change, Hub, Id, StoreError};

const CHANNEL: &str = "vfolder";
/// PostgreSQL refuses payloads of 8,000 bytes; what does not fit is told as "anything".
const MAX_PAYLOAD: usize = 7_000;
/// The pause before the next attempt to listen.
const RECONNECT: Duration = Duration::from_millis(500);
/// A connection that died without a word is noticed within this time: as often, it is asked for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Sends, as part of the transaction: PostgreSQL delivers when it commits.
pub(super) async fn send(
    connection: &mut AsyncPgConnection,
    sender: Id,
    changes: &[Change],
) -> Result<(), StoreError> {
    let Some(payload) = payload(sender, changes) else {
        return Ok(());
    };
    diesel::sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(CHANNEL)
        .bind::<Text, _>(payload)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(StoreError::of("notify.send"))
}

/// Hears what the other managers commit, and announces it, until told to stop.
pub(super) async fn listen(url: &str, own: Id, hub: &Hub, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            broken = hear(url, own, hub) => {
                let Err(error) = broken;
                tracing::debug!(%error, "not hearing other managers; trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(RECONNECT) => {}
        }
    }
}

async fn hear(url: &str, own: Id, hub: &Hub) -> Result<std::convert::Infallible, StoreError> {
    let broken = || StoreError::unavailable("notify.listen", "the connection broke");
    let mut connection = time::timeout(SIGN_OF_LIFE, AsyncPgConnection::establish(url))
        .await
        .map_err(|_| broken())?
        .map_err(|e| StoreError::unavailable("notify.connect", e))?;
    connection
        .batch_execute(&format!("LISTEN {CHANNEL}"))
        .await
        .map_err(StoreError::of("notify.listen"))?;
    // Whatever was committed before was not heard.
    hub.announce_heard(&[Change::Anything]);
    loop {
        let heard = {
            let mut notifications = pin!(connection.notifications_stream());
            time::timeout(SIGN_OF_LIFE, notifications.next()).await
        };
        match heard {
            Ok(Some(Ok(notification))) => hub.announce_heard(&parse(&notification.payload, own)),
            Ok(Some(Err(_)) | None) => return Err(broken()),
            Err(_) => {
                let alive = connection.batch_execute("SELECT 1");
                time::timeout(SIGN_OF_LIFE, alive)
                    .await
                    .map_err(|_| broken())?
                    .map_err(StoreError::of("notify.listen"))?;
            }
        }
    }
}

/// `<sender> v<id> o<id> w p`: nothing if others need not know.
fn payload(sender: Id, changes: &[Change]) -> Option<String> {
    let mut words: Vec<String> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Vfolder(id) => Some(format!("v{id}")),
            Change::Operation(id) => Some(format!("o{id}")),
            Change::Work => Some("w".into()),
            Change::Placed => Some("p".into()),
            Change::Anything => Some("a".into()),
            Change::Progress(_) => None,
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    if words.is_empty() {
        return None;
    }
    let text = format!("{sender} {}", words.join(" "));
    Some(if text.len() > MAX_PAYLOAD {
        format!("{sender} a")
    } else {
        text
    })
}

/// What a payload tells; nothing if it is our own, anything if it can't be understood, as one of a later release may not.
fn parse(payload: &str, own: Id) -> Vec<Change> {
    let mut words = payload.split(' ');
    if words.next().and_then(|w| w.parse::<Id>().ok()) == Some(own) {
        return Vec::new();
    }
    words
        .map(|word| match word.split_at_checked(1) {
            Some(("v", id)) => id.parse().map_or(Change::Anything, Change::Vfolder),
            Some(("o", id)) => id.parse().map_or(Change::Anything, Change::Operation),
            Some(("w", "")) => Change::Work,
            Some(("p", "")) => Change::Placed,
            _ => Change::Anything,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_one_manager_sends_another_understands_and_itself_ignores() {
        let (ours, theirs, id) = (Id::new(), Id::new(), Id::new());
        let changes = [
            Change::Operation(id),
            Change::Vfolder(id),
            Change::Work,
            Change::Progress(id),
            Change::Work,
        ];
        let sent = payload(theirs, &changes).unwrap();
        assert_eq!(
            parse(&sent, ours),
            [Change::Operation(id), Change::Vfolder(id), Change::Work]
        );
        assert_eq!(parse(&sent, theirs), []);
        assert_eq!(payload(theirs, &[Change::Progress(id)]), None);
    }

    #[test]
    fn too_much_to_tell_is_told_as_anything() {
        let (ours, theirs) = (Id::new(), Id::new());
        let many: Vec<Change> = (0..1_000).map(|_| Change::Vfolder(Id::new())).collect();
        let sent = payload(theirs, &many).unwrap();
        assert!(sent.len() < MAX_PAYLOAD);
        assert_eq!(parse(&sent, ours), [Change::Anything]);
        assert_eq!(parse("unintelligible", ours), []);
        assert_eq!(parse(&format!("{theirs} z9"), ours), [Change::Anything]);
    }
}
