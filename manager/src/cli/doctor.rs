//! `manager doctor`.

use std::process::ExitCode;

use super::Failure;
use crate::{
    config::ManagerConfig,
    doctor::{self, Severity},
    server,
};

/// Checks and prints.
pub(super) async fn run(config: &ManagerConfig, json: bool) -> Result<ExitCode, Failure> {
    let ctx = server::open(config).await?;
    let report = doctor::examine(&ctx).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
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
