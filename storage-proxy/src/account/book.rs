//! The figures in memory, and what they decide. Nothing here touches a disk.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;
use vfolder_common::token::{Limits, Quota};

use super::{Amount, Change, Exceeded, NotReserved, figures::Account};

/// All accounts of a volume that are in memory, and their owners' sums.
#[derive(Debug, Default)]
pub struct Book {
    accounts: HashMap<Uuid, Account>,
    owners: HashMap<String, Owner>,
}

/// An owner's limits and sums.
#[derive(Debug, Default)]
struct Owner {
    limits: Limits,
    revision: i64,
    used: Sum,
    reserved: Sum,
    vfolders: HashSet<Uuid>,
}

/// Amounts of many, exactly.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bytes: u128,
    files: u128,
}

impl Sum {
    fn add(&mut self, amount: Amount) {
        self.bytes += u128::from(amount.bytes);
        self.files += u128::from(amount.files);
    }

    fn take(&mut self, amount: Amount) {
        self.bytes = self.bytes.saturating_sub(amount.bytes.into());
        self.files = self.files.saturating_sub(amount.files.into());
    }
}

/// What would not fit is the most there can be.
impl From<Sum> for Amount {
    fn from(Sum { bytes, files }: Sum) -> Self {
        let most = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX);
        Self {
            bytes: most(bytes),
            files: most(files),
        }
    }
}

/// A limit, and what counts for it.
struct Bound {
    subject: String,
    unit: &'static str,
    limit: u64,
    used: u64,
    reserved: u64,
}

/// What an owner's vfolders hold, as far as they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerUse {
    /// In the trees.
    pub used: Amount,
    /// Set aside.
    pub reserved: Amount,
    /// So many vfolders are not in these sums.
    pub uncounted: u64,
}

impl Book {
    /// Takes note of limits, unless newer ones are known.
    pub fn learn(&mut self, vfolder: Uuid, quota: &Quota) {
        self.edit(vfolder, |account| {
            account.hear();
            if quota.mounted > account.quota.mounted {
                // A session has changed what we don't know of.
                account.quota.mounted = quota.mounted;
                account.changes += 1;
            }
            if quota.revision > account.quota.revision {
                account.quota.revision = quota.revision;
                account.quota.vfolder = quota.vfolder;
                account.quota.owner.clone_from(&quota.owner);
            }
        });
        self.learn_owner(quota);
    }

    /// Takes note of an owner's limits, unless newer ones are known.
    pub fn learn_owner(&mut self, quota: &Quota) {
        let owner = self.owners.entry(quota.owner.clone()).or_default();
        if quota.owner_revision > owner.revision {
            (owner.revision, owner.limits) = (quota.owner_revision, quota.all);
        }
    }

    /// The limits of a vfolder, its owner's included, as far as they are known.
    pub fn quota(&self, vfolder: Uuid) -> Option<Quota> {
        let mut quota = self.accounts.get(&vfolder)?.quota.clone();
        if let Some(owner) = self.owners.get(&quota.owner) {
            (quota.owner_revision, quota.all) = (owner.revision, owner.limits);
        }
        Some(quota)
    }

    pub fn get(&self, vfolder: Uuid) -> Option<&Account> {
        self.accounts.get(&vfolder)
    }

    /// Whether there is a limit that this vfolder counts for.
    pub fn is_limited(&self, vfolder: Uuid) -> bool {
        self.quota(vfolder)
            .is_some_and(|quota| quota.vfolder.any() || quota.all.any())
    }

    /// Whether it must be counted before its figures may decide anything, and whether that can be done now.
    pub fn must_count(&self, vfolder: Uuid) -> bool {
        let account = self.accounts.get(&vfolder);
        account.is_some_and(Account::must_count) && self.is_limited(vfolder)
    }

    /// All that must be counted before anything may decide about `vfolder`: others first.
    pub fn to_count(&self, vfolder: Uuid) -> Vec<Uuid> {
        let mut all = self.uncounted_beside(vfolder);
        all.extend(self.must_count(vfolder).then_some(vfolder));
        all
    }

    /// The other vfolders that must be counted before the owner's limits may decide anything about this one.
    fn uncounted_beside(&self, vfolder: Uuid) -> Vec<Uuid> {
        let account = self.accounts.get(&vfolder);
        let owner = account.and_then(|account| self.owners.get(&account.quota.owner));
        let Some(owner) = owner.filter(|owner| owner.limits.any()) else {
            return Vec::new();
        };
        let others = owner.vfolders.iter().copied();
        others
            .filter(|other| *other != vfolder && self.must_count(*other))
            .collect()
    }

    /// What was counted. `mounted` is up to which end of a mount that holds.
    pub fn counted(&mut self, vfolder: Uuid, used: Amount, mounted: i64, exact: bool) {
        let used = Amount {
            bytes: used.bytes.min(MOST),
            files: used.files.min(MOST),
        };
        self.edit(vfolder, |account| account.counted(used, mounted, exact));
    }

    /// There is no tree: nothing is in it, until [`Book::counted`] or [`Book::doubt`] says that there is one.
    pub fn absent(&mut self, vfolder: Uuid) {
        if let Some(account) = self.accounts.get(&vfolder) {
            let mounted = account.quota.mounted;
            self.counted(vfolder, Amount::default(), mounted, true);
        }
    }

    /// Nothing that was known of what is in the tree is still for sure.
    pub fn doubt(&mut self, vfolder: Uuid) {
        if self.accounts.contains_key(&vfolder) {
            self.edit(vfolder, Account::doubt);
        }
    }

    /// Something may have changed that was not told of: it is counted once nobody writes.
    pub fn unsure(&mut self, vfolder: Uuid) {
        if let Some(account) = self.accounts.get_mut(&vfolder) {
            account.exact = false;
            account.changes += 1;
        }
    }

    /// Its tree can't be counted now, for that reason.
    pub fn uncountable(&mut self, vfolder: Uuid, why: String) {
        if let Some(account) = self.accounts.get_mut(&vfolder) {
            account.cannot_count(why);
        }
    }

    /// Whether sessions write into the tree at this moment.
    pub fn sessions(&mut self, vfolder: Uuid, writing: bool) {
        if let Some(account) = self.accounts.get_mut(&vfolder) {
            account.sessions = writing.then_some(account.quota.mounted);
        }
    }

    /// Those without any limit of whom nobody has heard for so long.
    pub fn unheard(&self, idle: Duration) -> Vec<Uuid> {
        let unheard = self
            .accounts
            .iter()
            .filter(|(vfolder, account)| account.is_unheard(idle) && !self.is_limited(**vfolder));
        unheard.map(|(vfolder, _)| *vfolder).collect()
    }

    pub fn forget(&mut self, vfolder: Uuid) {
        if self.accounts.contains_key(&vfolder) {
            let owner = self.accounts.get(&vfolder).map(|a| a.quota.owner.clone());
            self.edit(vfolder, |account| *account = Account::default());
            self.accounts.remove(&vfolder);
            if let Some(nobody) = self.owners.get_mut("") {
                nobody.vfolders.remove(&vfolder);
            }
            let idle = |owner: &Owner| owner.vfolders.is_empty() && !owner.limits.any();
            if let Some(owner) = owner.filter(|owner| self.owners.get(owner).is_some_and(idle)) {
                self.owners.remove(&owner);
            }
        }
    }

    pub fn come_in(&mut self, vfolder: Uuid) {
        self.edit(vfolder, |account| {
            account.inside += 1;
            account.at_work();
        });
    }

    pub fn leave(&mut self, vfolder: Uuid) {
        if let Some(account) = self.accounts.get_mut(&vfolder) {
            account.inside = account.inside.saturating_sub(1);
            account.at_work();
        }
    }

    pub fn reserve(&mut self, vfolder: Uuid, asked: Amount) -> Result<(), NotReserved> {
        self.admits(vfolder, asked)?;
        self.reserve_anyway(vfolder, asked);
        Ok(())
    }

    /// What is there already is set aside, whatever the limits are now.
    pub fn reserve_anyway(&mut self, vfolder: Uuid, amount: Amount) {
        self.edit(vfolder, |account| {
            account.reserved = account.reserved.plus(amount);
            account.hear();
        });
    }

    pub fn give_back(&mut self, vfolder: Uuid, amount: Amount) {
        self.settle(vfolder, amount, Change::default());
    }

    pub fn settle(&mut self, vfolder: Uuid, reserved: Amount, change: Change) {
        if !self.accounts.contains_key(&vfolder) {
            // Purged meanwhile.
            return;
        }
        self.edit(vfolder, |account| {
            account.reserved = account.reserved.beyond(reserved);
            account.hear();
            if change == Change::default() {
                // The tree is as it was.
                return;
            }
            account.at_work();
            if let Some(used) = account.used {
                account.used = used.changed(change);
                // Less than nothing: somebody else has changed the tree, too. It is counted before it decides again.
                account.exact &= account.used.is_some();
            }
        });
    }

    pub fn owner_use(&self, owner: &str) -> OwnerUse {
        let Some(owner) = self.owners.get(owner) else {
            return OwnerUse::default();
        };
        let unknown = |vfolder: &&Uuid| {
            let account = self.accounts.get(vfolder);
            account.is_none_or(|account| account.used.is_none())
        };
        OwnerUse {
            used: owner.used.into(),
            reserved: owner.reserved.into(),
            uncounted: owner.vfolders.iter().filter(unknown).count() as u64,
        }
    }

    /// Those of whom nobody has heard for so long, with what they have come to.
    pub fn at_rest(&self, idle: Duration) -> Vec<(Uuid, u64)> {
        let resting = self
            .accounts
            .iter()
            .filter(|(_, account)| account.final_figures().is_some() && account.is_at_rest(idle));
        resting
            .map(|(vfolder, account)| (*vfolder, account.changes))
            .collect()
    }

    fn admits(&self, vfolder: Uuid, asked: Amount) -> Result<(), NotReserved> {
        let account = self.accounts.get(&vfolder);
        if let Some(why) = account.and_then(Account::why_uncountable)
            && asked != Amount::default()
            && self.is_limited(vfolder)
        {
            let why = why.to_owned();
            return Err(NotReserved::Uncountable { vfolder, why });
        }
        for bound in self.limits_of(vfolder) {
            let asked = match bound.unit {
                BYTES => asked.bytes,
                _ => asked.files,
            };
            // What nobody has limited can be set aside only as far as it can be counted.
            let (used, limit) = match bound.limit {
                0 => (bound.reserved, MOST),
                limit => (bound.used.saturating_add(bound.reserved), limit),
            };
            let (subject, unit) = (bound.subject, bound.unit);
            // Who asks for none of it may come in, however much is there.
            if asked > 0 && used.saturating_add(asked) > limit {
                return Err(Exceeded {
                    subject,
                    unit: unit.into(),
                    limit,
                    used,
                    asked,
                }
                .into());
            }
        }
        Ok(())
    }

    /// The limits that `vfolder` counts for, and what counts for them, as far as it is counted.
    fn limits_of(&self, vfolder: Uuid) -> Vec<Bound> {
        let nobody = Account::default();
        let account = self.accounts.get(&vfolder).unwrap_or(&nobody);
        let mut all = Vec::with_capacity(4);
        let mut add = |subject: &str, limits: Limits, used: Amount, reserved: Amount| {
            let bound = |unit, limit, used, reserved| Bound {
                subject: subject.to_owned(),
                unit,
                limit,
                used,
                reserved,
            };
            all.push(bound(BYTES, limits.bytes, used.bytes, reserved.bytes));
            all.push(bound(FILES, limits.files, used.files, reserved.files));
        };
        // Before it is counted, there is at least what is set aside.
        let used = account.used.unwrap_or_default();
        let subject = format!("vfolder:{vfolder}");
        add(&subject, account.quota.vfolder, used, account.reserved);
        if let Some(owner) = self.owners.get(&account.quota.owner) {
            let (used, reserved) = (owner.used.into(), owner.reserved.into());
            add(&account.quota.owner, owner.limits, used, reserved);
        }
        all
    }

    /// The only place where figures change: with them, the sums of their owner.
    fn edit(&mut self, vfolder: Uuid, edit: impl FnOnce(&mut Account)) {
        let account = self.accounts.entry(vfolder).or_default();
        if let Some(owner) = self.owners.get_mut(&account.quota.owner) {
            owner.used.take(account.used.unwrap_or_default());
            owner.reserved.take(account.reserved);
            owner.vfolders.remove(&vfolder);
        }
        edit(account);
        let owner = self.owners.entry(account.quota.owner.clone()).or_default();
        owner.used.add(account.used.unwrap_or_default());
        owner.reserved.add(account.reserved);
        owner.vfolders.insert(vfolder);
    }
}

pub(super) const BYTES: &str = "bytes";
pub(super) const FILES: &str = "files";
/// More than this, of bytes or of entries, is never set aside or counted: sums of it stay far from overflowing.
const MOST: u64 = 1 << 62;

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
