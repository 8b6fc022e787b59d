//! A storm with a fixed seed: short here, long in `make test-long`. `make storm` blows any other.

use std::{env, time::Duration};

use vfolder_tests::{
    run,
    storm::{self, Plan, recovery::Awaited},
};

/// What of the violations is shown; the rest is in the folder that is kept.
const SHOWN: usize = 5;

#[test]
fn after_a_storm_nothing_is_lost_stuck_or_made_up() {
    run(async {
        let long = env::var_os("VFOLDER_TEST_LONG").is_some();
        let (seconds, calls, faults) = if long {
            (300, 3_000, 200)
        } else {
            (35, 100, 20)
        };
        let plan = Plan::new(Duration::from_secs(seconds), 20);
        let mut report = storm::run(plan).await.unwrap();
        println!("{report}");
        if !report.is_sound() {
            for violation in report.violations.iter().take(SHOWN) {
                println!("{violation}\n");
            }
            let folder = report.keep().unwrap();
            panic!("violations: all of them are in {}", folder.display());
        }
        // A storm in which nothing happens proves nothing.
        assert!(report.acknowledged() >= calls);
        assert!(report.struck.len() >= faults);
        assert!(report.waits.iter().all(|wait| wait.end.is_some()));
        if long {
            assert!(!report.waited(Awaited::Takeover, false).is_empty());
        }
    });
}
