//! The searches: `cargo nextest run -p vfolder-model --no-capture` shows how many states there are.

#![allow(clippy::panic, reason = "tests")]

use std::env;

use vfolder_model::{Piece, Protocol, Scenario, check, is_acyclic};

fn scenarios() -> Vec<Scenario> {
    let long = env::var_os("VFOLDER_TEST_LONG").map_or(&[][..], |_| Scenario::LONG);
    Scenario::SHORT.iter().chain(long).copied().collect()
}

#[test]
fn whatever_dies_no_state_is_unsound_and_all_comes_to_rest() {
    for scenario in scenarios() {
        let found = check(scenario, Protocol::default());
        println!(
            "{:26} {:>9} states in {:?}",
            scenario.name, found.states, found.time
        );
        if let Some(counterexample) = found.counterexample {
            panic!(
                "{}:
{counterexample}",
                scenario.name
            );
        }
    }
}

/// Together with "all comes to rest", which holds wherever nothing goes on by itself, this is liveness: no way through
/// the states is endless, so each ends at rest.
#[test]
fn nothing_goes_on_for_ever() {
    for scenario in scenarios() {
        match is_acyclic(scenario, Protocol::default()) {
            Some((states, steps)) => {
                println!("{:26} {states:>9} states, {steps:>9} steps", scenario.name);
            }
            None => panic!("{}: a state can be reached from itself", scenario.name),
        }
    }
}

/// What each piece of the protocol is for: where it is missed, and what breaks.
const NEEDED: &[(Piece, Scenario, &str)] = &[
    (
        Piece::LeaseInWhere,
        Scenario::CLONE_AND_CRASHES,
        "an operation ends twice",
    ),
    (
        Piece::SourceFence,
        Scenario::CLONE_AND_CRASHES,
        "a write lands in a tree that is being copied",
    ),
    (
        Piece::Drain,
        Scenario::CLONE_AND_CRASHES,
        "a write lands in a tree that is being copied",
    ),
    (
        Piece::EpochAtClone,
        Scenario::CLONE_AND_CRASHES,
        "a write lands in a tree that is being copied",
    ),
    (
        Piece::SourceCut,
        Scenario::CLONE_GIVEN_UP,
        "a write lands in a tree that is being copied",
    ),
    (
        Piece::EpochAfterClone,
        Scenario::CLONE_GIVEN_UP,
        "a write lands in a tree that is being copied",
    ),
    (
        Piece::PublishCheck,
        Scenario::CLONE_GIVEN_UP,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::FenceBeforeRepair,
        Scenario::CLONE_GIVEN_UP,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::DurableFences,
        Scenario::CLONE_OR_CANCEL,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::DurableVerdict,
        Scenario::CLONE_OR_CANCEL,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::EndFence,
        Scenario::CLONE_OR_CANCEL,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::LateCancel,
        Scenario::CLONE_OR_CANCEL,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::CommitBeforeForget,
        Scenario::CLONE_AND_CRASHES,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::FenceOutlivesPurge,
        Scenario::CLONE_AND_PURGE,
        "a DELETED vfolder has no tree",
    ),
    (
        Piece::EpochAtTrash,
        Scenario::TRASH,
        "a write lands by a grant older than what a client was told is over",
    ),
    (
        Piece::FenceAfterTrash,
        Scenario::TRASH,
        "a write lands by a grant older than what a client was told is over",
    ),
    (
        Piece::EpochAtPurge,
        Scenario::PURGE_GIVEN_UP,
        "a writer is in a tree that is taken away",
    ),
    (
        Piece::EpochAtWork,
        Scenario::WORK_AND_CRASHES,
        "a write lands in a tree that is worked in",
    ),
    (
        Piece::WorkFence,
        Scenario::WORK_AND_CRASHES,
        "a write lands in a tree that is worked in",
    ),
    (
        Piece::EpochAfterWork,
        Scenario::WORK_OR_CANCEL,
        "no fence shuts out the present",
    ),
    (
        Piece::WorkEnters,
        Scenario::WORK_GIVEN_UP,
        "work goes on in a tree after its operation has ended",
    ),
    (
        Piece::EndFenceOfWork,
        Scenario::WORK_AND_CRASHES,
        "work goes on in a tree after its operation has ended",
    ),
    (
        Piece::WorkAsksJournal,
        Scenario::WORK_OR_CANCEL,
        "a cancel is told to come too late for work that is not done",
    ),
    (
        Piece::WorkEndsMounted,
        Scenario::WORK_AND_MOUNT,
        "a transition that the table doesn't have",
    ),
    (
        Piece::MountsEndWithWork,
        Scenario::WORK_GIVEN_UP,
        "a transition that the table doesn't have",
    ),
];

#[test]
fn no_piece_of_the_protocol_can_be_left_out() {
    for piece in Piece::ALL {
        let needed = NEEDED.iter().find(|(p, ..)| p == piece);
        let Some((_, scenario, expected)) = needed else {
            panic!("nothing says what {piece:?} is for")
        };
        let without = Protocol {
            without: Some(*piece),
        };
        let Some(found) = check(*scenario, without).counterexample else {
            panic!("{}: nothing breaks without {piece:?}", scenario.name)
        };
        println!("without {piece:?}, in {}:\n{found}", scenario.name);
        assert_eq!(found.broken, *expected, "without {piece:?}");
    }
}
