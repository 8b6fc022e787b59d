//! The search tells histories that can be from those that can't.

use uuid::Uuid;
use vfolder_proto::v1::VFolderStatus;

use super::*;

fn step(start: u64, end: u64, what: What) -> Step {
    Step {
        start,
        end,
        sure: true,
        what,
        result: None,
        alike: 0,
        origin: String::new(),
    }
}

fn show(start: u64, end: u64, status: VFolderStatus, revision: i64) -> Step {
    let name = "a".into();
    step(
        start,
        end,
        What::Show {
            status,
            name,
            revision,
        },
    )
}

fn is_ordered(steps: Vec<Step>) -> bool {
    let mut steps = steps;
    steps.push(step(0, 9, What::Begin { name: "a".into() }));
    steps.push(step(0, 10, What::Made { whole: true }));
    steps.sort_by_key(|step| (step.start, step.end));
    let story = Story {
        steps,
        ..Story::default()
    };
    order(&story, &[]).is_ok()
}

#[test]
fn what_was_acknowledged_and_is_not_seen_afterwards_has_no_order() {
    let trash = || step(20, 30, What::Trash { etag: None });
    assert!(is_ordered(vec![
        trash(),
        show(40, 50, VFolderStatus::Trashed, 3)
    ]));
    assert!(is_ordered(vec![
        trash(),
        show(25, 50, VFolderStatus::Ready, 2)
    ]));
    assert!(!is_ordered(vec![
        trash(),
        show(40, 50, VFolderStatus::Ready, 2)
    ]));
    assert!(!is_ordered(vec![
        trash(),
        show(40, 50, VFolderStatus::Trashed, 4)
    ]));
}

#[test]
fn what_was_not_answered_may_come_late_or_never_but_not_twice() {
    let maybe = || Step {
        sure: false,
        end: NEVER,
        ..step(20, 30, What::Trash { etag: None })
    };
    assert!(is_ordered(vec![
        maybe(),
        show(40, 50, VFolderStatus::Ready, 2)
    ]));
    assert!(is_ordered(vec![
        maybe(),
        show(40, 50, VFolderStatus::Ready, 2),
        show(60, 70, VFolderStatus::Trashed, 3),
    ]));
    assert!(!is_ordered(vec![
        maybe(),
        show(40, 50, VFolderStatus::Trashed, 3),
        step(60, 70, What::Restore { name: None }),
        show(80, 90, VFolderStatus::Trashed, 5),
    ]));
}

#[test]
fn a_clone_is_admitted_beside_readers_and_never_beside_a_writer() {
    let mount = |write| What::Mount {
        mount: Uuid::from_u128(1),
        write,
    };
    let clone = || {
        step(
            40,
            50,
            What::CloneBegins {
                operation: Uuid::from_u128(2),
            },
        )
    };
    assert!(is_ordered(vec![step(20, 30, mount(false)), clone()]));
    assert!(!is_ordered(vec![step(20, 30, mount(true)), clone()]));
    let unmount = What::Unmount {
        mount: Uuid::from_u128(1),
    };
    assert!(is_ordered(vec![
        step(20, 30, mount(true)),
        clone(),
        step(35, 60, unmount)
    ]));
}
