//! One storm, from the first process to the last check.

use std::{sync::Arc, time::Instant};

use tokio::task::{JoinSet, spawn_blocking};

use super::{
    check::{self, Facts, Violation},
    client::{Client, Registry, Shared},
    contents::Contents,
    disturbed::Disturbances,
    history::History,
    nemesis::Nemesis,
    plan::Plan,
    recovery::Recovery,
    report::Report,
    settle, trees,
    world::World,
};

/// Blows, waits until all is at rest, checks.
///
/// # Errors
/// If the storm could not be made or its end could not be read: no verdict.
pub async fn run(plan: Plan) -> Result<Report, String> {
    let world = Arc::new(World::start(plan.managers).await?);
    let shared = Arc::new(Shared {
        world: Arc::clone(&world),
        plan: plan.clone(),
        history: History::default(),
        contents: Contents::default(),
        registry: Registry::default(),
        archives: trees::archives().map_err(|e| format!("archives to unpack: {e}"))?,
    });
    let recovery = Arc::new(Recovery::default());
    let watch = Arc::clone(&recovery).watch(Arc::clone(&world.postgres), world.clock);
    let watching = tokio::spawn(watch);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        clients.spawn(Client::new(number, Arc::clone(&shared)).work());
    }
    let nemesis = Arc::new(Nemesis::new(Arc::clone(&shared), Arc::clone(&recovery)));
    let (struck, troubles) = nemesis.rage().await;
    let mut violations: Vec<Violation> = Vec::new();
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|e| format!("a client broke: {e}"))?;
    }
    let blew = began.elapsed();
    eprintln!("the storm is over; waiting until all is at rest");
    violations.extend(troubles.into_iter().map(|text| Violation {
        check: "processes",
        text,
        evidence: Vec::new(),
    }));
    let rest = settle::settle(&shared, &mut violations).await?;
    settle::look_at_trees(&shared, &rest, &mut violations);
    let (left, cleared) = settle::clear(&world).await;
    violations.extend(left.into_iter().map(|path| Violation {
        check: "leftovers",
        text: format!("{} is left after {cleared:?}", path.display()),
        evidence: Vec::new(),
    }));
    let (sound, said) = world.doctor().await?;
    if !sound {
        violations.push(Violation {
            check: "doctor",
            text: "the doctor found something".into(),
            evidence: said.lines().map(str::to_owned).collect(),
        });
    }
    watching.abort();
    eprintln!("all is at rest; checking");
    let calls = shared.history.take();
    let (writes, looks) = shared.contents.take();
    let clock = world.clock;
    // Apart, so that the storm can be interrupted meanwhile.
    let checking = spawn_blocking(move || {
        let checked = check::check(
            &Facts {
                clock,
                calls: &calls,
                rest: &rest,
                writes: &writes,
                looks: &looks,
            },
            &mut violations,
        );
        (checked, violations, calls, rest)
    });
    let (checked, violations, calls, rest) = checking.await.map_err(|e| e.to_string())?;
    let mut waits = recovery.waits();
    let disturbances = Disturbances::read(&world, &struck).await;
    for wait in &mut waits {
        wait.alone = disturbances.is_alone(wait);
    }
    Ok(Report {
        plan,
        blew,
        calls,
        rest,
        struck,
        waits,
        cleared,
        checked,
        violations,
        world: Some(world),
        shared: Some(shared),
    })
}
