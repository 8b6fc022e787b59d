//! One life of a storage-proxy that works on a clone.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{proxy::Proxy, scenario::Scenario};

/// Has a process work on the clone, and kills it when it has written `bytes`. Answers its directory, and what it has
/// written by then.
pub async fn until_written(proxy: Proxy, scenario: &Scenario, bytes: u64) -> (TempDir, u64) {
    let pid = proxy.process.id();
    tokio::select! {
        ended = scenario.run(&proxy) => panic!("it was not killed: {ended:?}"),
        () = async {
            while written_by(pid) < bytes {
                sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    kill_process(Pid::from_child(&proxy.process), Signal::KILL).unwrap();
    // Until we ask how it ended, its account is kept.
    let stat = format!("/proc/{pid}/stat");
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        sleep(Duration::from_millis(1)).await;
    }
    let written = written_by(pid);
    (proxy.died("nothing").await, written)
}

/// What a process has written by write(2), copy_file_range(2) and their like, wherever to: notes and answers are little
/// beside a clone. `wchar` of proc_pid_io(5).
pub fn written_by(pid: u32) -> u64 {
    let account = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    field(&account.replace(": ", "="), "wchar")
}

/// The number after `name=`.
pub fn field(text: &str, name: &str) -> u64 {
    let (_, rest) = text
        .split_once(&format!("{name}="))
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    rest[..digits.unwrap_or(rest.len())].parse().unwrap()
}
