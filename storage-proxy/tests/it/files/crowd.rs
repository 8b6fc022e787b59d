//! A directory of very many entries, listed page by page while somebody else creates and removes others in it.

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use vfolder_images::{Filesystem, on_each_filesystem};
use vfolder_proto::v1::ListFilesRequest;

use super::Desk;
use crate::support::{Dice, run, seed};

on_each_filesystem!(a_list_of_very_many_entries_misses_and_doubles_none_that_stays);

/// The least that every filesystem allows (ext4: 65,000).
const NAMES_OF_A_FILE: usize = 60_000;
/// Above what the process had before: names of one reading while it is sorted, those that are kept, and a page.
const MOST_MEMORY: u64 = 64 << 20;

/// `crowd` entries that stay, as names of few files: inodes would take the memory that is to be measured.
fn fill(directory: &Path, crowd: usize) {
    fs::create_dir(directory).unwrap();
    let mut file = directory.join("none");
    for number in 0..crowd {
        let name = directory.join(format!("{number:07}-stays"));
        if number % NAMES_OF_A_FILE == 0 {
            fs::write(&name, "").unwrap();
            file = name;
        } else {
            fs::hard_link(&file, name).unwrap();
        }
    }
}

/// Entries that come and go, in between the others.
fn disturb(directory: &Path, crowd: usize, seed: u64, stop: &AtomicBool) -> u64 {
    let (mut dice, mut changes) = (Dice(seed), 0);
    while !stop.load(Relaxed) {
        let path = directory.join(format!("{:07}-goes", dice.roll(crowd)));
        let changed = match fs::remove_file(&path) {
            Ok(()) => true,
            Err(_) => fs::write(&path, "").is_ok(),
        };
        changes += u64::from(changed);
    }
    changes
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn memory(process: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line
        .unwrap()
        .trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

fn a_list_of_very_many_entries_misses_and_doubles_none_that_stays(filesystem: Filesystem) {
    let crowd = match env::var_os("VFOLDER_TEST_LONG") {
        Some(_) => 1_000_000,
        None => 200_000,
    };
    let Some(disk) = filesystem.make(2 << 30) else {
        return;
    };
    let seed = seed();
    eprintln!("VFOLDER_TEST_SEED={seed}");
    run(async {
        let desk = Desk::within(disk.path()).await;
        let directory = desk.tree().join("crowd");
        // Beside the connection, which is kept alive meanwhile.
        let filled = directory.clone();
        let filling = tokio::task::spawn_blocking(move || fill(&filled, crowd));
        filling.await.unwrap();
        let process = desk.proxy.process.id();
        let idle = memory(process, "VmRSS");
        let stop = Arc::new(AtomicBool::new(false));
        let disturbing = thread::spawn({
            let (directory, stop) = (directory.clone(), Arc::clone(&stop));
            move || disturb(&directory, crowd, seed, &stop)
        });
        // A list that fails ends it, too.
        let stopping = StopOnDrop(stop);
        let begun = Instant::now();
        let pages = list(&desk, crowd).await;
        let took = begun.elapsed();
        drop(stopping);
        let changes = disturbing.join().unwrap();
        let peak = memory(process, "VmHWM");
        eprintln!(
            "{filesystem}: {crowd} entries in {pages} pages and {took:.1?}, {changes} changes meanwhile; storage-proxy: \
             VmHWM {:.1} MiB, {:.1} MiB when idle",
            mebibytes(peak),
            mebibytes(idle),
        );
        assert!(changes > 100, "nobody disturbed it");
        assert!(peak - idle < MOST_MEMORY);
    });
}

#[allow(clippy::cast_precision_loss, reason = "to be read by people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// All pages; answers how many there were.
async fn list(desk: &Desk, crowd: usize) -> usize {
    let (mut last, mut stays, mut pages) = (String::new(), 0, 0);
    let mut request = ListFilesRequest {
        path: "crowd".into(),
        page_size: 10_000,
        ..ListFilesRequest::default()
    };
    loop {
        let page = desk.list(request.clone()).await.unwrap();
        pages += 1;
        for entry in page.entries {
            assert!(last < entry.name, "{} comes after {last}", entry.name);
            if entry.name.ends_with("-stays") {
                assert_eq!(entry.name, format!("{stays:07}-stays"), "one is missing");
                stays += 1;
            }
            last = entry.name;
        }
        if page.next_page_token.is_empty() {
            assert_eq!(stays, crowd);
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}
