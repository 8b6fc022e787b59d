//! What several tests need.

use std::{
    env,
    ffi::CString,
    fmt::Display,
    fs::{self, File},
    num::NonZeroUsize,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, fallocate, flock, open};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{EnterError, Guard, Stay, TaskSpec, Tasks, VolumeConfig, Work},
    tree::{
        Checkpoint, CloneTarget, Cloned, Control, Ongoing, Scratch, TreeDigest, TreeError, Workers,
        clone_tree, remove_tree,
    },
    volume::{Holder, Volume, init, tree_path},
};

/// A directory handle.
pub fn directory(path: &Path) -> OwnedFd {
    open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap()
}

pub fn c(name: impl AsRef<[u8]>) -> CString {
    CString::new(name.as_ref()).unwrap()
}

/// Clones `source` to `parent`/`name`; links meanwhile in `parent`/.links.
pub fn clone(source: &Path, parent: &Path, name: &str, control: &Control) -> Result<(), TreeError> {
    clone_resumed(source, parent, name, None, control).map(drop)
}

/// The same, digested on the way.
pub fn clone_digested(
    source: &Path,
    parent: &Path,
    name: &str,
    control: &Control,
) -> Result<TreeDigest, TreeError> {
    let scratch: Option<&Scratch<'_>> = Some(&tempfile::tempfile);
    let cloned = clone_into(source, parent, name, (None, scratch), control)?;
    Ok(cloned.digest.expect("it was asked for"))
}

/// The same, going on with what is there, if that is known.
pub fn clone_resumed(
    source: &Path,
    parent: &Path,
    name: &str,
    resume: Option<&Checkpoint>,
    control: &Control,
) -> Result<Cloned, TreeError> {
    clone_into(source, parent, name, (resume, None), control)
}

fn clone_into(
    source: &Path,
    parent: &Path,
    name: &str,
    (resume, digest): (Option<&Checkpoint>, Option<&Scratch<'_>>),
    control: &Control,
) -> Result<Cloned, TreeError> {
    let links = parent.join(".links");
    fs::create_dir_all(&links).unwrap();
    let (source, target, scratch) = (directory(source), directory(parent), directory(&links));
    let name = c(name);
    let target = CloneTarget {
        parent: target.as_fd(),
        name: &name,
        links: scratch.as_fd(),
        root: None,
        resume,
        ongoing: &Ongoing::default(),
        digest,
    };
    let cloned = clone_tree(source.as_fd(), target, workers(), control);
    if cloned.is_ok() {
        assert_eq!(
            fs::read_dir(&links).unwrap().count(),
            0,
            "names of hard links are left"
        );
    }
    cloned
}

pub fn remove(path: &Path, control: &Control) -> Result<(), TreeError> {
    let parent = directory(path.parent().unwrap());
    remove_tree(
        parent.as_fd(),
        &c(path.file_name().unwrap().as_bytes()),
        workers(),
        control,
    )
}

/// `program`, where a user who may come into `dir` can run it: what we have built may be below a directory that is ours
/// alone.
pub fn reachable(program: &Path, dir: &Path) -> PathBuf {
    let reachable = dir.join("program");
    if !reachable.exists() && fs::hard_link(program, &reachable).is_err() {
        fs::copy(program, &reachable).unwrap();
    }
    reachable
}

/// What a test rolls its dice with: `VFOLDER_TEST_SEED`, or a number that it has to tell.
pub fn seed() -> u64 {
    let given = env::var("VFOLDER_TEST_SEED").ok();
    given.map_or_else(
        || {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
            u64::from(now.subsec_nanos()) << 32 | now.as_secs()
        },
        |seed| seed.parse().unwrap(),
    )
}

/// As `#[tokio::test]` does, for the tests that macros make.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(test)
}

/// More than most machines that run tests have cores, so that threads meet.
pub fn workers() -> Workers {
    Workers::new(const { NonZeroUsize::new(4).unwrap() })
}

/// Pseudo-random numbers that are the same in every run (Knuth's MMIX constants).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Waits until it `is` so.
pub async fn eventually(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

/// A volume in a temporary directory, and its tasks.
pub struct Rig {
    // Dropped in this order.
    pub tasks: Tasks,
    pub volume: Arc<Volume>,
    pub dir: Home,
}

/// The directory that a volume is in. It goes once the last thread has let the volume go, which would make anew what it
/// misses.
pub struct Home(TempDir);

impl From<TempDir> for Home {
    fn from(dir: TempDir) -> Self {
        Self(dir)
    }
}

impl Home {
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Ok(lock) = File::open(self.path().join("v/lock")) else {
            return;
        };
        let begun = Instant::now();
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()
            && begun.elapsed() < Duration::from_secs(5)
        {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Rig {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&dir.path().join("v"), "v").unwrap();
        Self::on(dir)
    }

    /// As after a restart.
    pub fn on(dir: impl Into<Home>) -> Self {
        let dir = dir.into();
        let volume = Arc::new(Volume::new(
            "v",
            dir.path().join("v"),
            Holder::this(Uuid::new_v4()),
        ));
        volume.open_at_start().unwrap();
        let tasks = Tasks::new(vec![VolumeConfig {
            volume: Arc::clone(&volume),
            max_tasks: 2,
            reclaim_duty: 20,
        }]);
        Self { dir, volume, tasks }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("v")
    }

    pub fn tree(&self, vfolder: Uuid) -> PathBuf {
        self.root().join(tree_path(vfolder))
    }

    /// An empty tree, made without any task; with a project quota where the volume's trees have one.
    pub fn make_tree(&self, vfolder: Uuid) -> PathBuf {
        let (root, volume) = (self.tree(vfolder), self.volume.get().unwrap());
        if volume.backend().name() != "projects" || root.exists() {
            fs::create_dir_all(&root).unwrap();
            return root;
        }
        let parent = root.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        let made = volume
            .backend()
            .create(directory(parent).as_fd(), &c(vfolder.to_string()));
        rustix::fs::fchmod(made.unwrap(), Mode::from_raw_mode(0o755)).unwrap();
        root
    }

    /// A tree with a few hundred entries, made without any task.
    pub fn fill(&self, vfolder: Uuid) -> PathBuf {
        let root = self.make_tree(vfolder);
        for directory in 0..20 {
            let directory = root.join(format!("d{directory}/sub"));
            fs::create_dir_all(&directory).unwrap();
            for file in 0..15 {
                fs::write(
                    directory.join(format!("f{file}")),
                    format!("content {file}"),
                )
                .unwrap();
            }
            fs::hard_link(directory.join("f0"), directory.join("link")).unwrap();
        }
        root
    }

    /// Puts what `make` makes into the trash under `name`, whole: the reclaimer is awake and destroys what it sees there.
    pub fn throw_away(&self, name: impl Display, make: impl FnOnce(&Path)) {
        let made = self.root().join("made");
        make(&made);
        fs::rename(made, self.root().join(format!("trash/{name}"))).unwrap();
    }

    pub fn spec(&self, work: Work) -> TaskSpec {
        self.spec_at(1, work)
    }

    pub fn spec_at(&self, epoch: i64, work: Work) -> TaskSpec {
        TaskSpec {
            volume: "v".into(),
            epoch,
            work,
        }
    }

    /// Somebody in a tree.
    pub fn enter(&self, vfolder: Uuid, stay: Stay, epoch: i64) -> Result<Guard, EnterError> {
        let (volume, fences) = (self.volume.get().unwrap(), self.tasks.fences("v").unwrap());
        fences.enter(&volume, vfolder, stay, epoch, Arc::default())
    }

    /// As after a restart.
    pub async fn restarted(self) -> Self {
        let Self { dir, volume, tasks } = self;
        drop((volume, tasks));
        crate::tasks::reopened(dir).await
    }

    /// Waits until the reclaimer has destroyed what is in the trash.
    pub async fn reclaimed(&self) {
        eventually("the trash is empty", || self.count("trash") == 0).await;
    }

    /// How many entries one of the volume's directories has.
    pub fn count(&self, area: &str) -> usize {
        let entries = fs::read_dir(self.root().join(area)).unwrap();
        entries
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name != "epochs" && name != "quotas"
            })
            .count()
    }
}

/// Bytes of a file whose space is given back by steps, where it is.
pub const HUGE: u64 = 768 << 20;

/// Makes one of as many blocks. False: there is no room for it.
pub fn huge(path: &Path) -> bool {
    let file = File::create(path).unwrap();
    let made = fallocate(&file, FallocateFlags::empty(), 0, HUGE);
    made.is_ok() && file.metadata().unwrap().blocks() * 512 >= HUGE
}
