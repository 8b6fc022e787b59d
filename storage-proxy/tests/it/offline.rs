//! The program run on plain directories.

use std::{
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::{
    oracle::{assert_same, describe},
    proxy::PROGRAM,
};

mod clone;
mod compare;
mod filesystems;
mod remove;

const PATIENCE: Duration = Duration::from_secs(30);

/// `storage-proxy tree …`.
pub fn tree<const N: usize>(arguments: [&Path; N]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("tree").args(arguments);
    command.stdin(Stdio::null());
    command
}

fn p(text: &str) -> &Path {
    Path::new(text)
}

pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(command: &mut Command, code: i32, said: &str) {
    let output = command.output().unwrap();
    assert_failed(&output, code, said);
}

fn assert_failed(output: &Output, code: i32, said: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(said), "{error}");
}

/// A tree of some depth with links of both kinds.
fn fill(root: &Path) {
    for directory in 0..5 {
        let directory = root.join(format!("d{directory}/sub"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..10 {
            let content = format!("content {file}");
            fs::write(directory.join(format!("f{file}")), content).unwrap();
        }
        fs::hard_link(directory.join("f0"), directory.join("link")).unwrap();
        symlink("/etc", directory.join("out")).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Starts a command that stops itself at a fault point, and waits until it has.
fn stopped_at(command: &mut Command, fault: &str) -> Child {
    command.env("VFOLDER_FAULTS", format!("{fault}=stop@2"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (_, status) = waitpid(Some(Pid::from_child(&child)), WaitOptions::UNTRACED)
        .unwrap()
        .unwrap();
    assert!(status.stopped(), "it never came to {fault}");
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
