//! Each copy is what its source was when the clone began, and each tree is what was written into it.
//!
//! Every bundle of a tree is a register with one writer, who works one thing after the other. What it may hold at a
//! moment follows from what was there in the beginning (nothing, or what the source held when the clone was admitted)
//! and from the writes since: those that were over before the moment have happened, those that were going on or never
//! got an answer may have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;
use vfolder_proto::v1::OperationKind;

use super::{Facts, Violation, work};
use crate::storm::{
    contents::{Look, Write},
    history::{Call, Deed, Micros, NEVER, Progress, Told},
    trees::{Digest, listing},
};

/// Where a tree comes from, and within which time it was as the copy shows it.
#[derive(Clone, Copy, Debug)]
struct Origin {
    source: Uuid,
    start: Micros,
    end: Micros,
}

struct Trees<'a> {
    writes: HashMap<Uuid, BTreeMap<&'a str, Vec<&'a Write>>>,
    origins: HashMap<Uuid, Origin>,
}

type Held = BTreeSet<Option<Digest>>;

/// Compares. How many bundles, and of how many clones.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) -> (usize, usize) {
    let (worked, unknown) = work::writes(facts);
    let mut trees = Trees {
        writes: HashMap::new(),
        origins: origins(facts),
    };
    for write in facts.writes.iter().chain(&worked) {
        let bundles = trees.writes.entry(write.vfolder).or_default();
        bundles.entry(&write.bundle).or_default().push(write);
    }
    for writes in trees.writes.values_mut().flat_map(BTreeMap::values_mut) {
        writes.sort_by_key(|write| write.start);
    }
    let mut count = 0;
    let mut clones = BTreeSet::new();
    for look in facts.looks {
        let names = match &look.only {
            Some(name) => BTreeSet::from([name.as_str()]),
            None => {
                let mut names = trees.names(look.vfolder);
                names.extend(look.bundles.keys().map(String::as_str));
                names
            }
        };
        if trees.origins.contains_key(&look.vfolder) {
            clones.insert(look.vfolder);
        }
        for name in names {
            // Half a write may be seen while it goes on; a clone is never allowed to begin then.
            if unknown.contains(name) || trees.is_written_during(look, name) {
                continue;
            }
            count += 1;
            let may_hold = trees.may_hold(look.vfolder, name, look.start, look.end);
            let found = look.bundles.get(name).copied();
            if !may_hold.contains(&found) {
                violations.push(trees.complain(look, name, found, &may_hold));
            }
        }
    }
    (count, clones.len())
}

/// Of every clone that ended well: what it copied, and when it was admitted, as far as the calls tell.
fn origins(facts: &Facts<'_>) -> HashMap<Uuid, Origin> {
    let mut by_operation: HashMap<Uuid, &Call> = HashMap::new();
    let mut by_tag: HashMap<&str, &Call> = HashMap::new();
    for call in facts.calls {
        if let Deed::Clone { tag, .. } = &call.deed {
            by_tag.insert(tag, call);
            if let Some(Told::Operation { operation, .. }) = call.told() {
                by_operation.insert(*operation, call);
            }
        }
    }
    let mut origins = HashMap::new();
    for operation in &facts.rest.operations {
        if operation.metadata.kind() != OperationKind::Clone
            || operation.progress != Progress::Succeeded
        {
            continue;
        }
        let Some(source) = operation.source() else {
            continue;
        };
        let copy = operation.vfolder();
        let row = facts
            .rest
            .vfolders
            .iter()
            .find(|row| row.id == copy.to_string());
        let unanswered = || by_tag.get(row?.description.as_str()).copied();
        let call = by_operation.get(&operation.id).copied().or_else(unanswered);
        origins.insert(
            copy,
            Origin {
                source,
                start: call.map_or(0, |call| call.start),
                end: call.map_or(NEVER, Call::latest),
            },
        );
    }
    origins
}

impl<'a> Trees<'a> {
    /// Every bundle that was ever written into the tree or into what it comes from.
    fn names(&self, vfolder: Uuid) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        let mut next = Some(vfolder);
        while let Some(id) = next {
            names.extend(
                self.writes
                    .get(&id)
                    .into_iter()
                    .flat_map(|all| all.keys().copied()),
            );
            next = self.origins.get(&id).map(|origin| origin.source);
        }
        names
    }

    /// What a bundle may hold at some moment between the two.
    fn may_hold(&self, vfolder: Uuid, name: &str, start: Micros, end: Micros) -> Held {
        let mut held = match self.origins.get(&vfolder) {
            Some(origin) => self.may_hold(origin.source, name, origin.start, origin.end),
            None => Held::from([None]),
        };
        for write in self.of(vfolder, name) {
            if write.end < start {
                held.clear();
            } else if write.start > end {
                break;
            }
            held.insert(write.value);
        }
        held
    }

    fn is_written_during(&self, look: &Look, name: &str) -> bool {
        self.of(look.vfolder, name)
            .iter()
            .any(|write| write.start <= look.end && write.end >= look.start && write.end != NEVER)
    }

    fn of(&self, vfolder: Uuid, name: &str) -> &[&'a Write] {
        let bundles = self.writes.get(&vfolder);
        bundles
            .and_then(|bundles| bundles.get(name))
            .map_or(&[], Vec::as_slice)
    }

    fn complain(
        &self,
        look: &Look,
        name: &str,
        found: Option<Digest>,
        may_hold: &Held,
    ) -> Violation {
        let mut evidence = vec![format!(
            "seen by {} between {} and {}",
            look.who, look.start, look.end
        )];
        let show = |value: Option<Digest>| match value {
            Some(digest) => format!("{digest:016x}: {}", listing(digest).replace('\n', " | ")),
            None => "nothing".to_owned(),
        };
        evidence.push(format!("found {}", show(found)));
        evidence.extend(
            may_hold
                .iter()
                .map(|value| format!("may be {}", show(*value))),
        );
        let mut next = Some(look.vfolder);
        while let Some(id) = next {
            for write in self.of(id, name) {
                evidence.push(format!("written {write:?}"));
            }
            next = self.origins.get(&id).map(|origin| {
                evidence.push(format!("{id} is a copy: {origin:?}"));
                origin.source
            });
        }
        Violation {
            check: "content",
            text: format!("{}: bundle {name} is not what was written", look.vfolder),
            evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::settle::Rest;

    fn write(vfolder: u128, start: Micros, end: Micros, value: Option<Digest>) -> Write {
        Write {
            vfolder: Uuid::from_u128(vfolder),
            bundle: "b".into(),
            start,
            end,
            value,
        }
    }

    fn trees(writes: &[Write], clone: (Micros, Micros)) -> Trees<'_> {
        let mut trees = Trees {
            writes: HashMap::new(),
            origins: HashMap::from([(
                Uuid::from_u128(2),
                Origin {
                    source: Uuid::from_u128(1),
                    start: clone.0,
                    end: clone.1,
                },
            )]),
        };
        for write in writes {
            let bundles = trees.writes.entry(write.vfolder).or_default();
            bundles.entry(&write.bundle).or_default().push(write);
        }
        trees
    }

    #[test]
    fn a_copy_holds_what_its_source_held_when_the_clone_began() {
        let writes = [
            write(1, 10, 20, Some(7)),
            write(1, 30, 40, Some(8)),
            write(1, 60, 70, None),
            write(2, 80, 90, Some(9)),
        ];
        let copy = Uuid::from_u128(2);
        let at = |clone, look| trees(&writes, clone).may_hold(copy, "b", look, look);
        assert_eq!(at((25, 28), 75), Held::from([Some(7)]));
        assert_eq!(at((25, 35), 75), Held::from([Some(7), Some(8)]));
        assert_eq!(at((45, 50), 75), Held::from([Some(8)]));
        assert_eq!(at((45, 50), 95), Held::from([Some(9)]));
        assert_eq!(at((1, 5), 75), Held::from([None]));
    }

    #[test]
    fn a_bundle_that_is_not_what_was_written_is_found() {
        let writes = [write(1, 10, 20, Some(7))];
        let look = |value: Option<Digest>| Look {
            vfolder: Uuid::from_u128(1),
            start: 30,
            end: 40,
            only: None,
            bundles: value
                .map(|value| ("b".to_owned(), value))
                .into_iter()
                .collect(),
            who: String::new(),
        };
        let rest = Rest::default();
        let mut found = Vec::new();
        for value in [Some(7), Some(8), None] {
            let looks = [look(value)];
            let facts = Facts {
                clock: crate::storm::history::Clock::start(),
                calls: &[],
                rest: &rest,
                writes: &writes,
                looks: &looks,
            };
            let mut violations = Vec::new();
            check(&facts, &mut violations);
            found.push(violations.len());
        }
        assert_eq!(found, [0, 1, 1]);
    }
}
