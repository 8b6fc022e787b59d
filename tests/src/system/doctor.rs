//! `manager doctor`: are the invariants kept?

use std::process::Output;

use serde_json::Value;

use super::running::System;
use crate::binaries::clean_command;

impl System {
    /// What the doctor finds wrong, each as its JSON object. It is up to the caller that nothing is going on.
    ///
    /// # Panics
    ///
    /// If the doctor can't do its work, or contradicts itself.
    pub async fn doctor(&self) -> Vec<Value> {
        let mut command = clean_command(&self.binaries.manager);
        command
            .args(["doctor", "--json", "--config"])
            .arg(self.manager.config_file());
        let run = tokio::task::spawn_blocking(move || command.output());
        let Output {
            status,
            stdout,
            stderr,
        } = run
            .await
            .expect("it can be waited for")
            .expect("the manager starts");
        let (stdout, stderr) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| {
            panic!("the doctor ({status}) printed no JSON: {e}\n{stdout}\n{stderr}")
        });
        let findings = report["findings"].as_array().cloned();
        let mut findings = findings.unwrap_or_else(|| panic!("no findings in {report:#}"));
        // What is merely still to be cleared away is nothing wrong.
        findings.retain(|finding| finding["severity"] != "notice");
        assert_eq!(
            status.success(),
            findings.is_empty(),
            "exit status and findings differ: {report:#}\n{stderr}"
        );
        findings
    }

    /// Asserts that the doctor finds nothing wrong.
    ///
    /// # Panics
    ///
    /// If it does.
    pub async fn assert_sound(&self) {
        let findings = self.doctor().await;
        assert!(findings.is_empty(), "the doctor found: {findings:#?}");
    }
}
