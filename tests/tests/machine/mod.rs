//! Random sequences of RPCs and restarts against real services, each answer compared with a reference model.
//!
//! `step` has the steps and how they are chosen; `reference` what must be answered and what must then be so, by the
//! manager's own tables; `drive` asks the services (`calls`, and `work` for what is inside trees) and looks at rows and trees (`compare`). A sequence that
//! fails is made shorter, and printed with its seed; `PROPTEST_RNG_SEED` brings another one.

mod calls;
mod compare;
mod drive;
mod reference;
mod step;
mod work;

use std::env;

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine as _, StateMachineTest as _};
use vfolder_tests::Engine;

use drive::Machine;
use step::Plan;

/// How many steps a sequence has.
const STEPS: usize = 30;

fn sequences(engine: Engine) {
    let long = env::var_os("VFOLDER_TEST_LONG").is_some();
    let seed = env::var("PROPTEST_RNG_SEED").map_or(4, |seed| seed.parse().unwrap());
    let config = Config {
        cases: if long { 100 } else { 8 },
        rng_seed: RngSeed::Fixed(seed),
        // Each is a whole run.
        max_shrink_iters: 40,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let strategy = Plan::sequential_strategy(STEPS..=STEPS);
    let done = TestRunner::new(config.clone()).run(&strategy, |(_, steps, seen)| {
        Machine::test_sequential(config.clone(), Plan::on(engine), steps, seen);
        Ok(())
    });
    match done {
        Ok(()) => {}
        Err(TestError::Fail(reason, (_, steps, _))) => {
            let steps: Vec<String> = steps.iter().map(|s| format!("  {s:?}")).collect();
            panic!(
                "seed {seed}, on {engine:?}: {reason}\nthe least that fails:\n{}",
                steps.join("\n")
            )
        }
        Err(TestError::Abort(reason)) => panic!("no sequences: {reason}"),
    }
}

mod any_sequence_of_calls_and_restarts_is_answered_as_the_tables_say {
    use vfolder_tests::Engine;

    #[test]
    fn sqlite() {
        super::sequences(Engine::Sqlite);
    }

    #[test]
    fn postgres() {
        super::sequences(Engine::Postgres);
    }
}
