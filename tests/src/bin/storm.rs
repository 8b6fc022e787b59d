//! `make storm`: a storm over both services and PostgreSQL, and its report. Ends non-zero if anything was found.
//!
//! DURATION (seconds), SEED, MANAGERS and CLIENTS say what it is to be.

use std::{env, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use vfolder_tests::storm::{self, Plan};

/// What of a violation is shown here; the rest is in the folder that is kept.
const SHOWN: usize = 10;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                code = storm() => code,
                () = told_to_stop() => {
                    eprintln!("storm: interrupted: no verdict");
                    ExitCode::FAILURE
                }
            }
        }),
        Err(error) => {
            eprintln!("storm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// SIGINT or SIGTERM. What was started ends as its values are dropped.
async fn told_to_stop() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn storm() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(problem) => {
            eprintln!("storm: {problem}");
            return ExitCode::FAILURE;
        }
    };
    println!("SEED={} DURATION={}", plan.seed, plan.duration.as_secs());
    let mut report = match storm::run(plan).await {
        Ok(report) => report,
        Err(problem) => {
            eprintln!("storm: no verdict: {problem}");
            return ExitCode::FAILURE;
        }
    };
    println!("{report}");
    if report.is_sound() && env::var_os("KEEP").is_none() {
        return ExitCode::SUCCESS;
    }
    for violation in report.violations.iter().take(SHOWN) {
        println!("{violation}\n");
    }
    match report.keep() {
        Ok(folder) => println!("logs, histories and all violations: {}", folder.display()),
        Err(error) => eprintln!("storm: the histories were not written: {error}"),
    }
    if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn plan() -> Result<Plan, String> {
    let number = |name: &str, default: u64| match env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map_err(|_| format!("{name}={text} is no number")),
        _ => Ok(default),
    };
    let size = |name, default| {
        number(name, default).and_then(|n| usize::try_from(n).map_err(|e| e.to_string()))
    };
    let seconds = number("DURATION", 60)?;
    let seed = number("SEED", fastrand::u64(..1_000_000))?;
    let mut plan = Plan::new(Duration::from_secs(seconds), seed);
    plan.managers = size("MANAGERS", 3)?.max(1);
    plan.clients = size("CLIENTS", 8)?.max(1);
    Ok(plan)
}
