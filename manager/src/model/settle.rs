//! The status that follows from what backs it.

use super::Status;

/// What is live on a vfolder now, by the database's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backing {
    /// Operations that destroy its tree.
    pub purges: i64,
    /// Operations that make its tree.
    pub creations: i64,
    /// Operations that work inside its tree.
    pub in_place: i64,
    /// Operations that copy its tree.
    pub clones: i64,
    /// Mounts that have not expired.
    pub mounts: i64,
    /// Mounts among them that write.
    pub write_mounts: i64,
}

impl Backing {
    /// Whether an operation is live.
    #[must_use]
    pub const fn has_operation(&self) -> bool {
        self.purges + self.creations + self.in_place + self.clones > 0
    }
}

/// The status of a vfolder that neither rests in the trash nor is gone nor needs a decision: the first that has its
/// backing.
#[must_use]
pub const fn settle(backing: &Backing) -> Status {
    if backing.purges > 0 {
        Status::Deleting
    } else if backing.creations > 0 {
        Status::Creating
    } else if backing.in_place > 0 {
        Status::Performing
    } else if backing.clones > 0 {
        Status::Cloning
    } else if backing.mounts > 0 {
        Status::Mounted
    } else {
        Status::Ready
    }
}

/// The status that counts: the stored one, except that MOUNTED without a live mount is READY. A lease past its expiry
/// counts for nothing, swept or not.
#[must_use]
pub const fn effective(stored: Status, backing: &Backing) -> Status {
    match stored {
        Status::Mounted if backing.mounts == 0 => settle(backing),
        _ => stored,
    }
}

/// Whether a stored status is what its backing says: the second and third invariant of the design.
#[must_use]
pub fn is_backed(stored: Status, backing: &Backing) -> bool {
    match stored {
        Status::Trashed | Status::Deleted | Status::Error => {
            !backing.has_operation() && backing.mounts == 0
        }
        _ => effective(stored, backing) == settle(backing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_status_with_its_backing_wins() {
        // Every combination of the five facts, against the order of the design.
        let order = [
            Status::Deleting,
            Status::Creating,
            Status::Performing,
            Status::Cloning,
            Status::Mounted,
        ];
        for bits in 0..32_i64 {
            let fact = |i: i64| (bits >> i) & 1;
            let backing = Backing {
                purges: fact(0),
                creations: fact(1),
                in_place: fact(2),
                clones: fact(3),
                mounts: fact(4),
                write_mounts: 0,
            };
            let first = (0..5).find(|i| fact(*i) == 1);
            let expected = match first {
                Some(i) => order[usize::try_from(i).unwrap_or_default()],
                None => Status::Ready,
            };
            assert_eq!(settle(&backing), expected, "{backing:?}");
        }
    }

    #[test]
    fn an_expired_mount_counts_for_nothing_before_it_is_swept() {
        let none = Backing::default();
        assert_eq!(effective(Status::Mounted, &none), Status::Ready);
        assert_eq!(effective(Status::Cloning, &none), Status::Cloning);
        assert!(is_backed(Status::Mounted, &none));
        assert!(!is_backed(Status::Cloning, &none));
    }
}
