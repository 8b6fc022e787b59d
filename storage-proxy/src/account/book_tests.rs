//! The book against a model that adds everything up anew after each step.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const OWNERS: [&str; 2] = ["user:a", "project:b"];

fn ids() -> [Uuid; 4] {
    [1, 2, 3, 4].map(Uuid::from_u128)
}

#[derive(Clone, Debug)]
enum Step {
    Learn {
        vfolder: usize,
        owner: usize,
        revision: i64,
        bytes: u64,
        all: u64,
    },
    Count {
        vfolder: usize,
        bytes: u64,
        files: u64,
    },
    Reserve {
        vfolder: usize,
        bytes: u64,
        files: u64,
    },
    Grow {
        which: usize,
        bytes: u64,
    },
    Settle {
        which: usize,
        bytes: i64,
        files: i64,
    },
    GiveBack {
        which: usize,
    },
    Doubt {
        vfolder: usize,
    },
    Forget {
        vfolder: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (v, n) = (0..4_usize, 0..300_u64);
    prop_oneof![
        2 => (v.clone(), 0..2_usize, 0..9_i64, n.clone(), n.clone()).prop_map(
            |(vfolder, owner, revision, bytes, all)| Step::Learn { vfolder, owner, revision, bytes, all }
        ),
        2 => (v.clone(), n.clone(), 0..30_u64).prop_map(|(vfolder, bytes, files)| Step::Count { vfolder, bytes, files }),
        6 => (v.clone(), n.clone(), 0..9_u64).prop_map(|(vfolder, bytes, files)| Step::Reserve { vfolder, bytes, files }),
        3 => (any::<usize>(), n).prop_map(|(which, bytes)| Step::Grow { which, bytes }),
        4 => (any::<usize>(), -400..400_i64, -20..20_i64).prop_map(|(which, bytes, files)| Step::Settle { which, bytes, files }),
        2 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
        1 => v.clone().prop_map(|vfolder| Step::Doubt { vfolder }),
        1 => v.prop_map(|vfolder| Step::Forget { vfolder }),
    ]
}

/// What should be so, in the simplest way.
#[derive(Default)]
struct Model {
    open: Vec<(Uuid, Amount)>,
    used: HashMap<Uuid, Option<Amount>>,
    quotas: HashMap<Uuid, Quota>,
    all: HashMap<String, (i64, u64)>,
}

impl Model {
    fn reserved(&self, vfolder: Uuid) -> Amount {
        let of = self.open.iter().filter(|(id, _)| *id == vfolder);
        of.fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    fn owner(&self, vfolder: Uuid) -> String {
        self.quotas
            .get(&vfolder)
            .map_or(String::new(), |q| q.owner.clone())
    }

    fn held_by(&self, owner: &str) -> u64 {
        let theirs = ids().into_iter().filter(|id| self.owner(*id) == owner);
        theirs
            .map(|id| {
                let used = self.used.get(&id).copied().flatten().unwrap_or_default();
                used.bytes + self.reserved(id).bytes
            })
            .sum()
    }

    fn admits(&self, vfolder: Uuid, bytes: u64) -> bool {
        let quota = self.quotas.get(&vfolder).cloned().unwrap_or_default();
        // Before it is counted, there is at least what is set aside.
        let used = self.used.get(&vfolder).copied().flatten();
        let used = used.unwrap_or_default().bytes + self.reserved(vfolder).bytes;
        let own = quota.vfolder.bytes == 0 || used + bytes <= quota.vfolder.bytes;
        let (_, all) = self.all.get(&quota.owner).copied().unwrap_or_default();
        bytes == 0 || (own && (all == 0 || self.held_by(&quota.owner) + bytes <= all))
    }
}

fn run(steps: Vec<Step>) {
    let (mut book, mut model) = (Book::default(), Model::default());
    for step in steps {
        match step {
            Step::Learn {
                vfolder,
                owner,
                revision,
                bytes,
                all,
            } => {
                let id = ids()[vfolder];
                let quota = Quota {
                    owner: OWNERS[owner].into(),
                    revision,
                    vfolder: Limits { bytes, files: 0 },
                    owner_revision: revision,
                    all: Limits {
                        bytes: all,
                        files: 0,
                    },
                    ..Quota::default()
                };
                book.learn(id, &quota);
                let known = model.all.entry(quota.owner.clone()).or_default();
                if revision > known.0 {
                    *known = (revision, all);
                }
                model.used.entry(id).or_default();
                let known = model.quotas.entry(id).or_default();
                if revision > known.revision {
                    *known = quota;
                }
            }
            Step::Count {
                vfolder,
                bytes,
                files,
            } => {
                let used = Amount { bytes, files };
                book.counted(ids()[vfolder], used, 0, true);
                model.used.insert(ids()[vfolder], Some(used));
            }
            Step::Reserve {
                vfolder,
                bytes,
                files,
            } => {
                let (id, asked) = (ids()[vfolder], Amount { bytes, files });
                let admitted = book.reserve(id, asked);
                assert_eq!(admitted.is_ok(), model.admits(id, bytes), "{admitted:?}");
                if admitted.is_ok() {
                    model.used.entry(id).or_default();
                    model.open.push((id, asked));
                }
            }
            Step::Grow { which, bytes } if !model.open.is_empty() => {
                let which = which % model.open.len();
                let id = model.open[which].0;
                let admitted = book.reserve(id, Amount { bytes, files: 0 });
                assert_eq!(admitted.is_ok(), model.admits(id, bytes));
                if admitted.is_ok() {
                    model.open[which].1.bytes += bytes;
                }
            }
            Step::Settle {
                which,
                bytes,
                files,
            } if !model.open.is_empty() => {
                let (id, amount) = model.open.swap_remove(which % model.open.len());
                let change = Change { bytes, files };
                book.settle(id, amount, change);
                let used = model.used.get_mut(&id).unwrap();
                // Less than nothing is not known.
                *used = used.and_then(|used| used.changed(change));
            }
            Step::GiveBack { which } if !model.open.is_empty() => {
                let (id, amount) = model.open.swap_remove(which % model.open.len());
                book.give_back(id, amount);
            }
            Step::Grow { .. } | Step::Settle { .. } | Step::GiveBack { .. } => {}
            // A crash of the volume under us: reservations live on, figures don't.
            Step::Doubt { vfolder } => {
                book.doubt(ids()[vfolder]);
                if let Some(used) = model.used.get_mut(&ids()[vfolder]) {
                    *used = None;
                }
            }
            // Only what nobody is at work in is ever purged.
            Step::Forget { vfolder } => {
                let id = ids()[vfolder];
                if model.open.iter().all(|(open, _)| *open != id) {
                    book.forget(id);
                    model.used.remove(&id);
                    model.quotas.remove(&id);
                }
            }
        }
        for id in ids() {
            let account = book.get(id);
            assert_eq!(account.is_some(), model.used.contains_key(&id));
            let reserved = account.map(|a| a.reserved).unwrap_or_default();
            assert_eq!(reserved, model.reserved(id));
            assert_eq!(
                account.and_then(|a| a.used),
                model.used.get(&id).copied().flatten()
            );
        }
        for owner in OWNERS {
            let found = book.owner_use(owner);
            assert_eq!(found.used.plus(found.reserved).bytes, model.held_by(owner));
        }
    }
    let open = std::mem::take(&mut model.open);
    for (id, amount) in open {
        book.give_back(id, amount);
    }
    for owner in OWNERS {
        assert_eq!(book.owner_use(owner).reserved, Amount::default());
    }
}

proptest! {
    #[test]
    fn figures_and_sums_are_what_adding_everything_up_gives(steps in prop::collection::vec(step(), 1..80)) {
        run(steps);
    }
}

#[test]
fn what_is_asked_for_may_be_huge_and_never_wraps() {
    let mut book = Book::default();
    let id = ids()[0];
    let most = Amount {
        bytes: u64::MAX,
        files: u64::MAX,
    };
    assert!(book.reserve(id, most).is_err());
    let large = Amount {
        bytes: i64::MAX as u64 / 2,
        files: 0,
    };
    assert!(book.reserve(id, large).is_ok());
    assert!(book.reserve(id, large).is_err());
    book.give_back(id, large);
    assert_eq!(book.get(id).unwrap().reserved, Amount::default());
}

#[test]
fn a_session_that_has_written_makes_figures_doubtful_once() {
    let mut book = Book::default();
    let id = ids()[0];
    let quota = |revision, mounted| Quota {
        owner: OWNERS[0].into(),
        revision,
        mounted,
        vfolder: Limits {
            bytes: 10,
            files: 0,
        },
        ..Quota::default()
    };
    book.learn(id, &quota(1, 0));
    assert!(book.must_count(id), "never counted");
    book.counted(id, Amount::default(), 0, true);
    assert!(!book.must_count(id));
    book.learn(id, &quota(5, 4));
    assert!(book.must_count(id), "a mount has ended since");
    book.counted(id, Amount::default(), 4, true);
    book.learn(id, &quota(5, 4));
    assert!(!book.must_count(id));
    // A grant from before says nothing new.
    book.learn(id, &quota(1, 0));
    assert!(!book.must_count(id));
    assert_eq!(book.quota(id).unwrap().revision, 5);
}

#[test]
fn nothing_is_final_while_somebody_is_in_the_tree() {
    let mut book = Book::default();
    let id = ids()[0];
    book.counted(id, Amount::default(), 0, true);
    assert_eq!(book.at_rest(Duration::ZERO).len(), 1);
    book.come_in(id);
    assert_eq!(book.at_rest(Duration::ZERO).len(), 0);
    book.leave(id);
    assert_eq!(book.at_rest(Duration::ZERO).len(), 1);
    // What is set aside for later is not in the tree yet.
    book.reserve(id, Amount { bytes: 1, files: 1 }).unwrap();
    assert_eq!(book.at_rest(Duration::ZERO).len(), 1);
    book.unsure(id);
    assert_eq!(book.at_rest(Duration::ZERO).len(), 0);
    book.counted(id, Amount::default(), 0, true);
    // What a session writes at this moment makes no figure final, until it is told that one has ended.
    book.sessions(id, true);
    assert_eq!(book.at_rest(Duration::ZERO).len(), 0);
}
