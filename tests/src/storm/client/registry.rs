//! The vfolders that the clients work with, as far as they know.

use std::sync::{Mutex, PoisonError};

use fastrand::Rng;
use uuid::Uuid;
use vfolder_proto::v1::VFolderStatus;

/// Ids that clients were told, until they were told that the vfolder is gone; with the etag that was seen last.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Vec<Card>>);

/// One vfolder.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Its id.
    pub id: Uuid,
    /// Its status when somebody last saw it.
    pub status: VFolderStatus,
    /// Its revision when somebody last saw it.
    pub revision: i64,
}

impl Registry {
    /// Notes what was seen.
    pub fn note(&self, card: Card) {
        let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cards.iter().position(|known| known.id == card.id);
        match (known, card.status) {
            (Some(index), VFolderStatus::Deleted) => {
                cards.swap_remove(index);
            }
            (Some(index), _) => cards[index] = card,
            (None, VFolderStatus::Deleted) => {}
            (None, _) => cards.push(card),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Any one.
    pub fn any(&self, dice: &mut Rng) -> Option<Card> {
        let cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!cards.is_empty()).then(|| cards[dice.usize(..cards.len())])
    }

    /// Any one that was last seen in this status; else any one, so that refusals are asked for as well.
    pub fn any_in(&self, status: VFolderStatus, dice: &mut Rng) -> Option<Card> {
        let fitting: Vec<Card> = {
            let cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cards
                .iter()
                .filter(|card| card.status == status)
                .copied()
                .collect()
        };
        if fitting.is_empty() || dice.u32(..6) == 0 {
            self.any(dice)
        } else {
            Some(fitting[dice.usize(..fitting.len())])
        }
    }
}
