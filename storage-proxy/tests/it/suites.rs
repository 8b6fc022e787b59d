//! What others have written to find faults with filesystems, run in cloned trees: `make test-foreign`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use vfolder_images::{Disk, Filesystem, is_root, not_checked};
use vfolder_storage_proxy::tree::Control;

use crate::{
    everything, rsync,
    support::{Dice, clone, seed},
};

/// Those of Debian, and of most others.
const USERS: [&str; 2] = ["nobody", "daemon"];
const OPERATIONS: usize = 20_000;
/// Crates of the workspace's lock file that build in a minute; one of them brings C.
const CRATES: [&str; 3] = ["zstd", "uuid", "serde_json"];

/// A tree and its clone, each on its own.
fn cloned_tree_on(filesystem: Filesystem) -> Option<(Disk, PathBuf, PathBuf)> {
    let disk = filesystem.make(4 << 30)?;
    let (source, copy) = (disk.path().join("source"), disk.path().join("copy"));
    everything::build(&source);
    clone(&source, disk.path(), "copy", &Control::default()).unwrap();
    Some((disk, source, copy))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `scripts/setup.sh foreign` installs it")
    })
}

fn group_of(user: &str) -> String {
    let told = output(Command::new("id").args(["-gn", user]));
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// Each test's verdict.
fn pjdfstest(config: &Path, directory: &Path) -> BTreeMap<String, String> {
    let mut command = Command::new("pjdfstest");
    command.arg("-c").arg(config).arg("-p").arg(directory);
    let told = String::from_utf8(output(&mut command).stdout).unwrap();
    // What is indented says why one was skipped or has failed.
    let lines = told.lines().filter(|line| !line.starts_with([' ', '\t']));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter(|(test, _)| test.contains("::"))
        .map(|(test, verdict)| (test.to_owned(), verdict.trim().to_owned()))
        .collect()
}

#[test]
#[ignore = "needs pjdfstest: make test-foreign"]
fn pjdfstest_says_of_a_clone_what_it_says_of_its_source() {
    if !is_root() {
        not_checked("not root, so not what pjdfstest says");
        return;
    }
    let users = USERS.map(|user| format!("[\"{user}\", \"{}\"]", group_of(user)));
    let config = format!(
        "[features]\nposix_fallocate = {{}}\n[settings]\nnaptime = 0.01\nallow_remount = false\n\
         [dummy_auth]\nentries = [{}]\n",
        users.join(", ")
    );
    for filesystem in Filesystem::ALL {
        let Some((disk, source, copy)) = cloned_tree_on(filesystem) else {
            continue;
        };
        let file = disk.path().join("pjdfstest.toml");
        fs::write(&file, &config).unwrap();
        let [wanted, verdicts] = [source, copy].map(|tree| pjdfstest(&file, &tree));
        let count = |verdict: &str| verdicts.values().filter(|v| *v == verdict).count();
        let (ok, skipped) = (count("ok"), count("skipped"));
        eprintln!(
            "{filesystem}: {ok} of {} ok, {skipped} skipped",
            verdicts.len()
        );
        for (test, verdict) in &wanted {
            if !["ok", "skipped"].contains(&verdict.as_str()) {
                eprintln!("{filesystem}: {test} {verdict}, in the source as well");
            }
        }
        assert!(ok > 300, "{verdicts:?}");
        assert_eq!(wanted, verdicts, "{filesystem}");
    }
}

#[test]
#[ignore = "needs fsx: make test-foreign"]
fn fsx_finds_no_fault_with_cloned_files() {
    let seed = seed();
    eprintln!("VFOLDER_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    for filesystem in Filesystem::ALL {
        let Some((disk, _, copy)) = cloned_tree_on(filesystem) else {
            continue;
        };
        for file in ["sizes/3500000", "holes/middle", "links/one", "new"] {
            let mut command = Command::new("fsx");
            command
                .args(["-N", &OPERATIONS.to_string()])
                .args(["-S", &dice.roll(1 << 30).to_string()])
                .arg("-P")
                .arg(disk.path())
                .arg(copy.join(file));
            let ran = output(&mut command);
            assert!(ran.status.success(), "{filesystem}: {command:?} {ran:?}");
        }
    }
}

#[test]
#[ignore = "builds for minutes: make test-foreign"]
fn crates_build_from_a_clone_of_cargos_registry() {
    let theirs = env::var_os("CARGO_HOME").map_or_else(
        || Path::new(&env::var_os("HOME").unwrap()).join(".cargo"),
        PathBuf::from,
    );
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    for filesystem in Filesystem::ALL {
        let Some(disk) = filesystem.make(8 << 30) else {
            continue;
        };
        let home = disk.path().join("home");
        fs::create_dir(&home).unwrap();
        let registry = theirs.join("registry");
        clone(&registry, &home, "registry", &Control::default()).unwrap();
        // Else cargo would unpack anew what is missing.
        rsync::assert_same(&registry, &home.join("registry"), None);
        // Which may say where crates come from.
        if theirs.join("config.toml").exists() {
            fs::copy(theirs.join("config.toml"), home.join("config.toml")).unwrap();
        }
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(["build", "--offline", "--locked", "--quiet"])
            .args(CRATES.iter().flat_map(|name| ["--package", name]))
            .arg("--manifest-path")
            .arg(&workspace)
            .arg("--target-dir")
            .arg(disk.path().join("target"))
            .env("CARGO_HOME", &home);
        let built = output(&mut command);
        assert!(built.status.success(), "{filesystem}: {built:?}");
    }
}
