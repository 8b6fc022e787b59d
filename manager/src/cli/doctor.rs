//! `manager doctor`.

use std::process::ExitCode;

use serde::Serialize;

use super::Failure;
use crate::{
    config::ManagerConfig,
    doctor::{self, Repair, Report, Severity},
    server,
};

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "<[Repair]>::is_empty")]
    repairs: &'a [Repair],
    #[serde(flatten)]
    report: &'a Report,
}

/// Mends, if told to, then checks, and prints.
pub(super) async fn run(
    config: &ManagerConfig,
    json: bool,
    repair: bool,
) -> Result<ExitCode, Failure> {
    let ctx = server::open(config).await?;
    let repairs = if repair {
        doctor::repair(&ctx).await?
    } else {
        Vec::new()
    };
    let report = doctor::examine(&ctx).await?;
    if json {
        let output = Output {
            repairs: &repairs,
            report: &report,
        };
        println!("{}", serde_json::to_string_pretty(&output)?);
    } else {
        for repair in &repairs {
            println!("{repair}");
        }
        for finding in &report.findings {
            println!("{finding}");
        }
        println!(
            "{} vfolders, {} live operations, {} mounts and {} volumes checked: {} violations, {} not checked, {} notices",
            report.checked.vfolders,
            report.checked.live_operations,
            report.checked.mounts,
            report.checked.volumes,
            report.count(Severity::Violation),
            report.count(Severity::Unchecked),
            report.count(Severity::Notice),
        );
    }
    Ok(if report.count(Severity::Violation) > 0 {
        ExitCode::from(1)
    } else if report.count(Severity::Unchecked) > 0 {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}
