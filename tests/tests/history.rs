//! A vfolder's history as evidence: whatever happened at once, it must read as one thing after the other.

use std::collections::BTreeMap;

use vfolder_proto::v1::{ListEventsRequest, VFolderEvent, VFolderStatus};
use vfolder_tests::User;

use VFolderStatus::{
    Cloning, Creating, Deleted, Deleting, Error, Mounted, Performing, Ready, Trashed,
    VfolderStatusUnspecified as Unspecified,
};

/// The pairs of the design's table of transitions, by hand. Pairs of the same status are changes of something else.
const PAIRS: &[(VFolderStatus, VFolderStatus)] = &[
    (Unspecified, Creating),
    (Creating, Ready),
    (Creating, Deleted),
    (Creating, Error),
    (Ready, Ready),
    (Ready, Cloning),
    (Ready, Mounted),
    (Ready, Performing),
    (Ready, Trashed),
    (Ready, Deleting),
    (Cloning, Cloning),
    (Cloning, Ready),
    (Cloning, Mounted),
    (Mounted, Mounted),
    (Mounted, Cloning),
    (Mounted, Ready),
    (Performing, Performing),
    (Performing, Ready),
    (Performing, Mounted),
    (Performing, Error),
    (Trashed, Ready),
    (Trashed, Deleting),
    (Deleting, Deleted),
    (Deleting, Error),
    (Error, Error),
    (Error, Trashed),
    (Error, Deleting),
    (Error, Ready),
    (Error, Deleted),
];

/// All events of a vfolder.
pub async fn history(user: &User, vfolder: &str) -> Vec<VFolderEvent> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEventsRequest {
            vfolder_id: vfolder.into(),
            page_size: 1000,
            page_token,
        };
        let page = user
            .vfolders
            .clone()
            .list_events(request)
            .await
            .unwrap()
            .into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return events;
        }
    }
}

/// Asserts that each event begins where the one before it ended, that each step is one of the design's, and that the
/// last leads to `now`.
pub fn assert_one_after_the_other(events: &[VFolderEvent], now: VFolderStatus) {
    let mut status = Unspecified;
    let mut sequence = 0;
    for event in events {
        let shown = steps(events);
        assert_eq!(event.from_status(), status, "broken chain:\n{shown}");
        assert!(
            event.sequence > sequence,
            "sequence does not rise:\n{shown}"
        );
        let pair = (event.from_status(), event.to_status());
        assert!(PAIRS.contains(&pair), "{pair:?} is no transition:\n{shown}");
        (status, sequence) = (event.to_status(), event.sequence);
    }
    assert_eq!(
        status,
        now,
        "the last event is not what is:\n{}",
        steps(events)
    );
}

/// How often each action is in a history.
pub fn actions(events: &[VFolderEvent]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for event in events {
        *count.entry(event.action.clone()).or_default() += 1;
    }
    count
}

/// A history for a person.
pub fn steps(events: &[VFolderEvent]) -> String {
    let lines = events.iter().map(|e| {
        let (from, to) = (e.from_status().as_str_name(), e.to_status().as_str_name());
        format!(
            "{:>4} {from} → {to}: {} by {} ({})",
            e.sequence, e.action, e.actor, e.reason
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
