//! The manager's own history of each vfolder: without a gap, without an impossible step, and with each acknowledged call
//! exactly once and at its time.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;
use vfolder_proto::v1::{
    VFolder, VFolderEvent,
    VFolderStatus::{
        self, Cloning, Creating, Deleted, Deleting, Error, Mounted, Performing, Ready, Trashed,
        VfolderStatusUnspecified as Nothing,
    },
};

use super::{Facts, Violation};
use crate::storm::{
    client::seen,
    history::{Call, Deed, Micros, Told},
};

/// The database's clock is ours, read a moment apart.
const SLACK: Micros = 20_000;

/// How a status may change: the design's list, with what keeps it.
const POSSIBLE: &[(VFolderStatus, VFolderStatus)] = &[
    (Nothing, Creating),
    (Creating, Ready),
    (Creating, Deleted),
    (Ready, Ready),
    (Ready, Cloning),
    (Ready, Mounted),
    (Ready, Performing),
    (Performing, Performing),
    (Performing, Ready),
    (Performing, Mounted),
    (Ready, Trashed),
    (Ready, Deleting),
    (Cloning, Cloning),
    (Cloning, Ready),
    (Cloning, Mounted),
    (Mounted, Mounted),
    (Mounted, Ready),
    (Mounted, Cloning),
    (Trashed, Ready),
    (Trashed, Deleting),
    (Deleting, Deleted),
    (Deleting, Error),
    (Error, Trashed),
    (Error, Deleting),
];

/// What clients do, as events call it.
const BY_CLIENTS: &[&str] = &[
    "CreateVFolder",
    "CloneVFolder",
    "DeleteVFolder",
    "RestoreVFolder",
    "PurgeVFolder",
    "UpdateVFolder",
    "ExtractArchive",
    "RemoveTree",
    "Mount",
    "Unmount",
];

/// Compares. How many events there were.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) -> usize {
    let mut count = 0;
    for vfolder in &facts.rest.vfolders {
        let id = seen(vfolder).id;
        let events = facts.rest.events.get(&id).map_or(&[][..], Vec::as_slice);
        count += events.len();
        chain(vfolder, events, violations);
    }
    let mut matched: HashMap<(Uuid, i64), &Call> = HashMap::new();
    for call in facts.calls {
        for (vfolder, found) in effects_of(call, facts) {
            match found.as_slice() {
                [event] => {
                    if let Some(other) = matched.insert((vfolder, event.sequence), call)
                        && other != call
                    {
                        let text = format!("{vfolder}: one event for two calls");
                        violations.push(told(text, &[event], &[call, other]));
                    }
                    on_time(facts, call, event, violations);
                }
                others => {
                    let text = format!(
                        "{vfolder}: {} events for an acknowledged call",
                        others.len()
                    );
                    violations.push(told(text, others, &[call]));
                }
            }
        }
    }
    nobody_elses(facts, &matched, violations);
    count
}

fn told(text: String, events: &[&VFolderEvent], calls: &[&Call]) -> Violation {
    let events = events.iter().map(|event| format!("{event:?}"));
    Violation {
        check: "events",
        text,
        evidence: calls
            .iter()
            .map(|call| call.to_string())
            .chain(events)
            .collect(),
    }
}

/// Sequences rise by one, each event goes on where the one before ended, and the last is the present.
fn chain(vfolder: &VFolder, events: &[VFolderEvent], violations: &mut Vec<Violation>) {
    let mut status = Nothing;
    for (number, event) in (1..).zip(events) {
        let (from, to) = (event.from_status(), event.to_status());
        if event.sequence != number || from != status || !POSSIBLE.contains(&(from, to)) {
            let text = format!("{}: after {status:?} came what can't", vfolder.id);
            violations.push(told(text, &[event], &[]));
        }
        status = to;
    }
    let shown = seen(vfolder);
    let last = events.last().map_or(0, |event| event.sequence);
    if shown.status != status || shown.revision != last {
        violations.push(Violation {
            check: "events",
            text: format!(
                "{}: it is {shown:?}, and its last event is {last} to {status:?}",
                vfolder.id
            ),
            evidence: Vec::new(),
        });
    }
}

/// For each vfolder that an acknowledged call changed: the events that can be this change.
fn effects_of<'a>(call: &Call, facts: &'a Facts<'_>) -> Vec<(Uuid, Vec<&'a VFolderEvent>)> {
    let Some(answer) = call.told() else {
        return Vec::new();
    };
    let of = |vfolder: Uuid, fits: &dyn Fn(&VFolderEvent) -> bool| {
        let events = facts.rest.events.get(&vfolder).into_iter().flatten();
        let found = events.filter(|event| {
            event.action == call.deed.rpc() && event.actor == actor(call) && fits(event)
        });
        (vfolder, found.collect())
    };
    match (&call.deed, answer) {
        (Deed::Create { .. }, Told::VFolder(seen)) => {
            vec![of(seen.id, &|event| event.sequence == 1)]
        }
        (
            Deed::Trash { vfolder, .. }
            | Deed::Restore { vfolder, .. }
            | Deed::Update { vfolder, .. },
            Told::VFolder(seen),
        ) => vec![of(*vfolder, &|event| event.sequence == seen.revision)],
        (
            Deed::Clone { source, .. },
            Told::Operation {
                operation, vfolder, ..
            },
        ) => {
            let name = format!("operations/{operation}");
            let both = [*source, *vfolder];
            both.map(|id| of(id, &|event| event.operation == name))
                .into()
        }
        (
            Deed::Purge { vfolder, .. }
            | Deed::Extract { vfolder, .. }
            | Deed::RemoveTree { vfolder, .. },
            Told::Operation { operation, .. },
        ) => {
            let name = format!("operations/{operation}");
            vec![of(*vfolder, &|event| event.operation == name)]
        }
        (Deed::Mount { vfolder, .. }, Told::Mount { mount }) => {
            let mount = mount.to_string();
            vec![of(*vfolder, &|event| event.mount_id == mount)]
        }
        // An Unmount may have come when the mount had ended.
        _ => Vec::new(),
    }
}

fn actor(call: &Call) -> String {
    format!("c{}", call.client)
}

/// It happened between the question and the answer.
fn on_time(facts: &Facts<'_>, call: &Call, event: &VFolderEvent, violations: &mut Vec<Violation>) {
    let at = event.time.as_ref().map_or(0, |time| facts.clock.at(time));
    if at + SLACK < call.start || at > call.end + SLACK {
        let text = format!("{}: an event out of its call's time", event.vfolder_id);
        violations.push(told(text, &[event], &[call]));
    }
}

/// What is in the history as a client's, and is no acknowledged call's, is at most what went unanswered.
fn nobody_elses(
    facts: &Facts<'_>,
    matched: &HashMap<(Uuid, i64), &Call>,
    violations: &mut Vec<Violation>,
) {
    type Key<'a> = (Uuid, String, &'a str);
    let mut open: BTreeMap<Key<'_>, u32> = BTreeMap::new();
    let tags: HashMap<&str, Uuid> = facts
        .rest
        .vfolders
        .iter()
        .map(|vfolder| (vfolder.description.as_str(), seen(vfolder).id))
        .collect();
    for call in facts.calls {
        // Each attempt without an answer may have had an effect; so may an Unmount with one.
        let mut times = call.open_attempts + u32::from(call.told().is_none());
        if matches!(call.deed, Deed::Unmount { .. }) {
            times = 1;
        }
        if call.is_without_effect() || times == 0 {
            continue;
        }
        let mut add = |vfolder: Uuid| {
            *open
                .entry((vfolder, actor(call), call.deed.rpc()))
                .or_default() += times;
        };
        if let Some(target) = call.deed.target() {
            add(target);
        }
        if let Deed::Create { tag, .. } | Deed::Clone { tag, .. } = &call.deed
            && let Some(made) = tags.get(tag.as_str())
        {
            add(*made);
        }
    }
    for (vfolder, events) in &facts.rest.events {
        for event in events {
            if !BY_CLIENTS.contains(&event.action.as_str())
                || matched.contains_key(&(*vfolder, event.sequence))
            {
                continue;
            }
            let action = BY_CLIENTS.iter().find(|action| **action == event.action);
            let key = (*vfolder, event.actor.clone(), *action.unwrap_or(&""));
            match open.get_mut(&key) {
                Some(left) if *left > 0 => *left -= 1,
                _ => {
                    let text = format!("{vfolder}: an event that no call explains");
                    violations.push(told(text, &[event], &[]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::{
        history::{Clock, Outcome, Seen},
        settle::Rest,
    };

    const ID: Uuid = Uuid::from_u128(1);

    fn event(sequence: i64, from: VFolderStatus, to: VFolderStatus, action: &str) -> VFolderEvent {
        VFolderEvent {
            sequence,
            from_status: from.into(),
            to_status: to.into(),
            action: action.into(),
            actor: "c0".into(),
            ..VFolderEvent::default()
        }
    }

    fn call(deed: Deed, told: Told) -> Call {
        Call {
            client: 0,
            deed,
            start: 0,
            end: 9,
            open_attempts: 0,
            outcome: Outcome::Done(told),
        }
    }

    fn seen(revision: i64) -> Told {
        Told::VFolder(Seen {
            id: ID,
            name: String::new(),
            status: Ready,
            revision,
        })
    }

    /// A vfolder that was created and then trashed by one client.
    fn violations_of(change: impl FnOnce(&mut Vec<VFolderEvent>, &mut Vec<Call>)) -> usize {
        let mut events = vec![
            event(1, Nothing, Creating, "CreateVFolder"),
            event(2, Creating, Ready, "creation ended"),
            event(3, Ready, Trashed, "DeleteVFolder"),
        ];
        let create = Deed::Create {
            tag: "t".into(),
            name: "n".into(),
        };
        let trash = Deed::Trash {
            vfolder: ID,
            etag: None,
            retention: None,
        };
        let mut calls = vec![call(create, seen(2)), call(trash, seen(3))];
        change(&mut events, &mut calls);
        let rest = Rest {
            vfolders: vec![VFolder {
                id: ID.to_string(),
                status: Trashed.into(),
                etag: "\"3\"".into(),
                description: "t".into(),
                ..VFolder::default()
            }],
            events: BTreeMap::from([(ID, events)]),
            ..Rest::default()
        };
        let mut violations = Vec::new();
        let facts = Facts {
            clock: Clock::start(),
            calls: &calls,
            rest: &rest,
            writes: &[],
            looks: &[],
        };
        check(&facts, &mut violations);
        violations.len()
    }

    #[test]
    fn gaps_lost_calls_and_events_of_nobody_are_found() {
        assert_eq!(violations_of(|_, _| {}), 0);
        assert!(violations_of(|events, _| events[2].sequence = 4) > 0);
        assert!(violations_of(|events, _| events[1].to_status = Deleted.into()) > 0);
        assert!(violations_of(|events, _| events[2].actor = "c1".into()) > 0);
        assert!(violations_of(|_, calls| calls.truncate(1)) > 0);
        assert!(violations_of(|_, calls| calls[1].outcome = Outcome::Done(seen(2))) > 0);
    }

    #[test]
    fn an_event_may_be_that_of_a_call_without_an_answer() {
        let unknown = || Outcome::Unknown(String::new());
        assert_eq!(violations_of(|_, calls| calls[1].outcome = unknown()), 0);
        let refused = Outcome::Refused {
            reason: "VFOLDER_STATUS".into(),
            status: None,
            text: String::new(),
        };
        assert!(violations_of(|_, calls| calls[1].outcome = refused) > 0);
    }
}
