//! The whole bench on inputs a hundred times smaller: whatever its figures say, there must be one in each cell.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path, process::Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench-tree");

/// Why it can't run here; nothing, if it can.
fn obstacle() -> Option<&'static str> {
    let has = |program: &str| {
        let found = Command::new("which").arg(program).output();
        found.is_ok_and(|done| done.status.success())
    };
    let mounts = || {
        let mut unshare = Command::new("unshare");
        let tried = unshare.args(["--mount", "true"]).output();
        tried.is_ok_and(|done| done.status.success())
    };
    match () {
        () if !["mkfs.ext4", "rsync"].into_iter().all(has) => Some("needs mkfs.ext4 and rsync"),
        () if !mounts() => Some("can't mount here"),
        () if !Path::new("/dev/loop-control").exists() => Some("there are no loop devices"),
        () => None,
    }
}

#[test]
fn each_cell_of_the_tables_has_a_figure_and_every_copy_of_ours_is_one() {
    if let Some(why) = obstacle() {
        eprintln!("NOT CHECKED: {why}, so not whether the bench runs");
        return;
    }
    let ours = Path::new(PROGRAM).with_file_name("storage-proxy");
    assert!(
        ours.exists(),
        "not built; `cargo build -p vfolder-storage-proxy` builds it"
    );
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("benchmarks.md");
    let run = Command::new(PROGRAM)
        .env("STORAGE_PROXY", ours)
        .env("OUT", &out)
        .envs([
            ("FILESYSTEMS", "ext4"),
            ("CASES", "A C D E F"),
            ("PEERS", "cp rm bound"),
            ("ROUNDS", "1"),
            ("SCALE", "100"),
            ("EXTRAS", "0"),
            ("LONG", "0"),
        ])
        .output()
        .unwrap();
    // Fails, too, if a copy of ours differs from its source.
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let page = fs::read_to_string(out).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != "## ext4: clone")
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| case") && !line.starts_with("| ---")
        })
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    // Each of five cases with and without the sync, cloned and removed.
    assert_eq!(rows.len(), 20, "{page}");
    for row in rows {
        // The bound is for A without the sync only.
        let cells = if row[0] == "A" {
            &row[1..]
        } else {
            &row[1..row.len() - 1]
        };
        assert_eq!(cells.len(), if row[0] == "A" { 3 } else { 2 }, "{row:?}");
        for cell in cells {
            let wall = cell.split(" / ").next().unwrap();
            assert!(
                wall.parse::<f64>().is_ok_and(|seconds| seconds > 0.0),
                "{row:?}"
            );
        }
    }
}
