//! What must hold.

use stateright::Property;
use vfolder_manager::model::{Status, settle};

use crate::{
    step::Search,
    world::{Slot, World},
};

pub fn all() -> Vec<Property<Search>> {
    vec![
        Property::always("nothing impossible happens", |_, w: &World| {
            w.wrong.is_none()
        }),
        Property::always("a status is backed", |_, w: &World| {
            each(w, |v, status, _| settle::is_backed(status, &w.backing(v)))
        }),
        Property::always("a vfolder that can be read has its tree", |_, w: &World| {
            each(w, |_, status, has_tree| {
                has_tree
                    || matches!(
                        status,
                        Status::Creating | Status::Deleting | Status::Deleted | Status::Error
                    )
            })
        }),
        Property::always("a DELETED vfolder has no tree", |_, w: &World| {
            each(w, |_, status, has_tree| {
                status != Status::Deleted || !has_tree
            })
        }),
        Property::always("no fence shuts out the present", |_, w: &World| {
            (0..).zip(w.rows).all(|(v, row)| {
                row.is_none_or(|row| match row.status {
                    // A creation undone, work that ends, and what leaves ERROR, get the next epoch.
                    Status::Creating | Status::Performing | Status::Error => {
                        w.fence(v) <= row.epoch + 1
                    }
                    _ => w.fence(v) <= row.epoch,
                })
            })
        }),
        Property::always("all comes to rest", |search, w: &World| {
            !is_still(*search, w) || is_settled(w)
        }),
        Property::sometimes("all is done and settled", |search, w: &World| {
            is_still(*search, w) && is_settled(w) && w.operations.len() > 1
        }),
    ]
}

fn each(w: &World, holds: impl Fn(u8, Status, bool) -> bool) -> bool {
    (0..)
        .zip(w.rows)
        .all(|(v, row)| row.is_none_or(|row| holds(v, row.status, w.tree(v).is_some())))
}

/// Nothing goes on any more, unless a client or a fault begins it.
fn is_still(search: Search, w: &World) -> bool {
    let mut steps = Vec::new();
    search.progress(w, &mut steps);
    steps.is_empty()
}

/// Every operation has ended, no status is one that ends by itself, and the disk has trees and nothing else.
fn is_settled(w: &World) -> bool {
    w.operations.iter().all(|o| !o.state.is_live())
        && each(w, |_, status, _| !status.is_transient())
        && w.disk.staging.iter().all(Option::is_none)
        && w.disk.journal.iter().all(Option::is_none)
        && w.disk.trash.iter().all(|t| !t)
        && w.slots.iter().all(|s| !matches!(s, Slot::Running { .. }))
        && w.net.is_empty()
        && w.managers.iter().all(Vec::is_empty)
}
