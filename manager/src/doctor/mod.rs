//! Proving the invariants of the design against a live database and its volumes.
//!
//! The services may be at work meanwhile, and database and volumes are not read in one instant. So what looks wrong is
//! looked at again, and only what stays wrong, in the same way, is reported. [`repair()`] mends what can be mended without a
//! doubt.

mod repair;
mod report;
mod rows;
mod trees;

use std::time::Duration;

use tokio::time;
use vfolder_common::error::Refusal;

pub use repair::{Repair, repair};
pub use report::{Checked, Finding, Report, Severity};

use crate::context::Context;

/// How often what looks wrong is looked at again.
const LOOKS: usize = 6;
/// The pause between two looks: longer than any transaction and any call that follows one.
const PAUSE: Duration = Duration::from_millis(400);

/// Examines everything.
pub async fn examine(ctx: &Context) -> Result<Report, Refusal> {
    let mut report = look(ctx).await?;
    for _ in 1..LOOKS {
        if report.findings.is_empty() {
            break;
        }
        time::sleep(PAUSE).await;
        let again = look(ctx).await?;
        report.findings.retain(|f| again.findings.contains(f));
        report.checked = again.checked;
    }
    Ok(report)
}

async fn look(ctx: &Context) -> Result<Report, Refusal> {
    let mut report = Report::default();
    // Volumes first: what a row says must be on disk was there when the row was read, unless something is wrong or at
    // work, and the second look tells these apart.
    let volumes = trees::read(ctx, &mut report).await;
    rows::check(ctx, &volumes, &mut report).await?;
    trees::check(ctx, &volumes, &mut report).await?;
    report.findings.sort();
    Ok(report)
}
