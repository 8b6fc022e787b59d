//! What a session and a file RPC feel of a purge: how long creating a small file and syncing it takes while 200,000 files
//! are destroyed in the background, on a loop-mounted ext4. Needs root; `make bench-reclaim`.
//!
//! Prints a table: quantiles of the latency, how long the purge took until it was acknowledged, and how long until its
//! space was back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

#[allow(dead_code, reason = "what the tests need besides")]
#[path = "../tests/it/mounted.rs"]
mod mounted;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use mounted::Mounted;
use tokio::runtime::Runtime;
use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{End, TaskSpec, Tasks, VolumeConfig, Work},
    volume::{Holder, Volume, init, tree_path},
};

const DIRECTORIES: usize = 1_000;
/// How long the latency is measured at least, also when there is nothing to destroy.
const AT_LEAST: Duration = Duration::from_secs(5);
/// No purge is waited for longer.
const AT_MOST: Duration = Duration::from_secs(120);

/// Who else is at work.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Foreground {
    /// A session, which writes to its mount.
    Session,
    /// File RPCs.
    Rpc,
}

struct Round {
    what: &'static str,
    foreground: Foreground,
    /// Nothing: nothing is purged.
    duty: Option<u8>,
}

const ROUNDS: [Round; 6] = [
    Round {
        what: "session, no purge",
        foreground: Foreground::Session,
        duty: None,
    },
    Round {
        what: "session, purge without pauses",
        foreground: Foreground::Session,
        duty: Some(100),
    },
    Round {
        what: "session, purge at 20 %",
        foreground: Foreground::Session,
        duty: Some(20),
    },
    Round {
        what: "RPCs, no purge",
        foreground: Foreground::Rpc,
        duty: None,
    },
    Round {
        what: "RPCs, purge at 20 %",
        foreground: Foreground::Rpc,
        duty: Some(20),
    },
    Round {
        what: "RPCs, purge at 5 %",
        foreground: Foreground::Rpc,
        duty: Some(5),
    },
];

struct Bench {
    root: PathBuf,
    tasks: Tasks,
    runtime: Runtime,
}

fn main() {
    let files = env::var("BENCH_RECLAIM_FILES").map_or(200_000, |n| n.parse().unwrap());
    println!("| at work | p50 | p99 | longest | syncs | acknowledged | space back |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for round in &ROUNDS {
        // Each round on a filesystem of its own, so that none inherits another's journal.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let Some(_mounted) = Mounted::image("ext4", &path, 8 << 30) else {
            return;
        };
        println!("{}", measure(&path, round, files));
    }
}

fn measure(path: &Path, round: &Round, files: usize) -> String {
    init(path, "v").unwrap();
    let volume = Volume::new("v", path, Holder::this(Uuid::new_v4()));
    volume.open_at_start().unwrap();
    let runtime = Runtime::new().unwrap();
    let config = VolumeConfig {
        volume: Arc::new(volume),
        max_tasks: 1,
        reclaim_duty: round.duty.unwrap_or(100),
    };
    let tasks = runtime.block_on(async { Tasks::new(vec![config]) });
    let bench = Bench {
        root: path.to_owned(),
        tasks,
        runtime,
    };
    let [doomed, used] = [(); 2].map(|()| bench.create());
    bench.fill(doomed, files);

    let begun = Instant::now();
    let acknowledged = round.duty.map(|_| {
        bench.run(Work::Purge { vfolder: doomed });
        begun.elapsed()
    });
    let mut back = None;
    let mut latencies = Vec::new();
    let goes_on = |back: Option<Duration>| match (acknowledged, back) {
        (Some(_), None) => begun.elapsed() < AT_MOST,
        _ => begun.elapsed() < AT_LEAST,
    };
    while goes_on(back) {
        let file = bench
            .root
            .join(tree_path(used))
            .join(latencies.len().to_string());
        let one = Instant::now();
        bench.make(file, round.foreground);
        let destroying = acknowledged.is_some() && back.is_none();
        // Once all is destroyed, this is no longer what is measured.
        if destroying || acknowledged.is_none() {
            latencies.push(one.elapsed());
        }
        if destroying && bench.trash_is_empty() {
            back = Some(begun.elapsed());
            break;
        }
    }
    bench.runtime.block_on(bench.tasks.suspend());
    latencies.sort_unstable();
    let quantile = |per_mille: usize| latencies[(latencies.len() - 1) * per_mille / 1000];
    let shown = |time: Option<Duration>| time.map_or("–".into(), |time| format!("{time:.1?}"));
    format!(
        "| {} | {:.2?} | {:.2?} | {:.2?} | {} | {} | {} |",
        round.what,
        quantile(500),
        quantile(990),
        quantile(1000),
        latencies.len(),
        shown(acknowledged),
        shown(back),
    )
}

impl Bench {
    fn run(&self, work: Work) {
        let spec = TaskSpec {
            volume: "v".into(),
            epoch: 1,
            work,
        };
        self.runtime.block_on(async {
            let mut task = self.tasks.run(Uuid::now_v7(), spec).unwrap();
            match task.end().await {
                End::Outcome(outcome) => assert_eq!(outcome.failure, None),
                other => panic!("{other:?}"),
            }
        });
    }

    fn create(&self) -> Uuid {
        let vfolder = Uuid::now_v7();
        self.run(Work::Create { vfolder });
        vfolder
    }

    fn fill(&self, vfolder: Uuid, files: usize) {
        let tree = self.root.join(tree_path(vfolder));
        let content = vec![b'x'; 2560];
        thread::scope(|scope| {
            for half in 0..2 {
                let (tree, content) = (&tree, &content);
                scope.spawn(move || {
                    for number in (half..DIRECTORIES).step_by(2) {
                        let directory = tree.join(number.to_string());
                        fs::create_dir(&directory).unwrap();
                        for file in 0..files / DIRECTORIES {
                            fs::write(directory.join(file.to_string()), content).unwrap();
                        }
                    }
                });
            }
        });
        rustix::fs::syncfs(fs::File::open(&self.root).unwrap()).unwrap();
    }

    /// A small file, durable.
    fn make(&self, path: PathBuf, foreground: Foreground) {
        let make = move || {
            let mut file = fs::File::create_new(path).unwrap();
            file.write_all(&[b'x'; 4096]).unwrap();
            file.sync_all().unwrap();
        };
        match foreground {
            Foreground::Session => make(),
            Foreground::Rpc => {
                let served = self.tasks.serve("v", move |_| make());
                self.runtime.block_on(served).unwrap();
            }
        }
    }

    fn trash_is_empty(&self) -> bool {
        fs::read_dir(self.root.join("trash"))
            .unwrap()
            .next()
            .is_none()
    }
}
