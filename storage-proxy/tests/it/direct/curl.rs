//! curl, as it is installed.

use std::{collections::HashMap, fs, process::Command};

use serde_json::Value;

/// What it got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// By their names in small letters; the last of several.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// Whether it was content: a body that broke off is no success.
    pub complete: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The reason of a refusal.
    pub fn reason(&self) -> String {
        let body: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(body["message"].is_string(), "{body}");
        body["reason"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn assert_refused(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status, self.reason().as_str()),
            (status, reason),
            "{self:?}"
        );
    }
}

/// Runs it. Its own errors don't count where a status came.
pub fn curl(arguments: &[&str]) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    let (head, body) = (dir.path().join("head"), dir.path().join("body"));
    let mut command = Command::new("curl");
    command.args(["-sS", "--path-as-is", "--max-time", "60", "-o"]);
    command.arg(&body).arg("-D").arg(&head);
    let output = command.args(arguments).output().expect("curl is installed");
    let head = fs::read(&head).unwrap_or_default();
    let head = String::from_utf8_lossy(&head);
    // The last head: others are 100 Continue.
    let mut lines = head.trim_end().rsplit("\r\n\r\n").next().unwrap().lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.unwrap_or_else(|| panic!("no answer: {output:?}"));
    let pairs = lines.filter_map(|line| line.split_once(':'));
    Answer {
        status: status.parse().unwrap(),
        headers: pairs
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: fs::read(&body).unwrap_or_default(),
        complete: output.status.success(),
    }
}
