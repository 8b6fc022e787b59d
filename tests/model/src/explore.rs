//! Searching.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    properties,
    protocol::Protocol,
    scenario::Scenario,
    step::{Search, Step},
    world::World,
};

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// Distinct states.
    pub states: usize,
    /// How long it took.
    pub time: Duration,
    /// A shortest way to where a property does not hold, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// How a property comes not to hold.
#[derive(Debug)]
pub struct Counterexample {
    /// What happened that must not, or the property that does not hold.
    pub broken: &'static str,
    /// The way there.
    pub steps: Vec<Step>,
    /// Where it leads.
    pub last: World,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "  {number:2} {step:?}")?;
        }
        write!(f, "broken: {}\n{}", self.broken, self.last)
    }
}

/// Searches all states, or as many as there are before a counterexample. Breadth first, so that it is a shortest one.
#[must_use]
pub fn check(scenario: Scenario, protocol: Protocol) -> Found {
    let begun = Instant::now();
    let checker = scenario
        .under(protocol)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut discoveries = checker.discoveries();
    let counterexample = properties::all()
        .into_iter()
        .filter(|p| p.expectation.discovery_is_failure())
        .filter_map(|p| Some((p.name, discoveries.remove(p.name)?)))
        .map(|(name, path)| {
            let last = path.last_state().clone();
            Counterexample {
                broken: last.wrong.unwrap_or(name),
                steps: path.into_actions(),
                last,
            }
        })
        .min_by_key(|c| c.steps.len());
    Found {
        states: checker.unique_state_count(),
        time: begun.elapsed(),
        counterexample,
    }
}

/// Whether no state can be reached from itself: then every way through the states ends, and where it ends "all comes to
/// rest" has been checked. Some: the number of states and of steps between them. None: there is a cycle.
#[must_use]
pub fn is_acyclic(scenario: Scenario, protocol: Protocol) -> Option<(usize, usize)> {
    let search: Search = scenario.under(protocol);
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut known: HashMap<u64, u32> = HashMap::new();
    let mut edges: Vec<Vec<u32>> = Vec::new();
    let mut incoming: Vec<u32> = Vec::new();
    let mut todo: Vec<(u32, World)> = Vec::new();
    for world in search.init_states() {
        known.insert(hasher.hash_one(&world), 0);
        edges.push(Vec::new());
        incoming.push(0);
        todo.push((0, world));
    }
    let mut steps: Vec<Step> = Vec::new();
    while let Some((from, world)) = todo.pop() {
        steps.clear();
        search.actions(&world, &mut steps);
        for step in &steps {
            let Some(next) = search.next_state(&world, *step) else {
                continue;
            };
            let fresh = u32::try_from(edges.len()).ok()?;
            let to = *known.entry(hasher.hash_one(&next)).or_insert(fresh);
            if to == fresh {
                edges.push(Vec::new());
                incoming.push(0);
                todo.push((fresh, next));
            }
            edges[from as usize].push(to);
            incoming[to as usize] += 1;
        }
    }
    // Kahn: what nothing leads to any more can go.
    let mut free: Vec<u32> = (0..)
        .zip(&incoming)
        .filter(|(_, n)| **n == 0)
        .map(|(i, _)| i)
        .collect();
    let mut gone = 0;
    while let Some(state) = free.pop() {
        gone += 1;
        for to in &edges[state as usize] {
            incoming[*to as usize] -= 1;
            if incoming[*to as usize] == 0 {
                free.push(*to);
            }
        }
    }
    (gone == edges.len()).then(|| (gone, edges.iter().map(Vec::len).sum()))
}
