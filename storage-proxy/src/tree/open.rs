//! Opens that stay beneath a directory: no symlink is followed, no mount crossed.
//!
//! openat2(2) does it where the kernel has it (5.6) and no sandbox hides it. Elsewhere each component is opened by itself
//! with `O_NOFOLLOW`, which never leaves the directory either, since a single component that is no ".." can't.

use std::{
    ffi::CStr,
    fs,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat, openat2, statat, statx,
    },
    io::{Errno, Result},
    path::DecInt,
};

use super::{Control, Fault, FileKind, Meta, RelativePath, error::looking};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const ALWAYS: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// The kernel breaks a lease 45 s after somebody wants the file (fcntl(2), /proc/sys/fs/lease-break-time).
const LEASE_BREAK: Duration = Duration::from_secs(60);
const LEASE_POLL: Duration = Duration::from_millis(20);

static OPENAT2_MISSING: AtomicBool = AtomicBool::new(false);

/// Opens `path` beneath `root`.
///
/// # Errors
/// `ELOOP` for a symlink, `EXDEV` for a mount point, and what open(2) says.
pub fn open_path(root: impl AsFd, path: &RelativePath, flags: OFlags) -> Result<OwnedFd> {
    if path.is_root() {
        return openat(root, c".", flags | ALWAYS, Mode::empty());
    }
    if !OPENAT2_MISSING.load(Relaxed) {
        match openat2_patiently(&root, path.as_bytes(), flags) {
            Err(Errno::NOSYS | Errno::PERM) => {}
            done => return done,
        }
    }
    let mut components = path.components().peekable();
    let mut directory = None::<OwnedFd>;
    while let Some(name) = components.next() {
        let parent = directory.as_ref().map_or_else(|| root.as_fd(), AsFd::as_fd);
        let last = components.peek().is_none();
        let flags = if last {
            flags
        } else {
            OFlags::PATH | OFlags::DIRECTORY
        };
        directory = Some(open_component(parent, &name, flags)?);
    }
    directory.ok_or(Errno::NOENT)
}

/// Opens the entry `name`, a single component, of `directory`.
///
/// # Errors
/// As [`open_path`].
pub fn open_entry(directory: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    if !OPENAT2_MISSING.load(Relaxed) {
        match openat2_patiently(&directory, name.to_bytes(), flags) {
            Err(Errno::NOSYS | Errno::PERM) => {}
            done => return done,
        }
    }
    open_component(directory, name, flags)
}

/// Opens the directory `name` of `parent` for reading.
///
/// # Errors
/// As [`open_path`].
pub fn open_directory(parent: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    open_entry(parent, name, DIRECTORY)
}

/// Opens the regular file `name` of `directory` for reading, and nothing else. Never blocks for longer than a lease.
///
/// # Errors
/// [`Fault::Changed`] if it is something else by now, [`Fault::Gone`] if it is no more.
pub fn open_regular(
    directory: impl AsFd,
    name: &CStr,
    control: &Control,
) -> std::result::Result<(OwnedFd, Meta), Fault> {
    let begun = Instant::now();
    loop {
        match reopen_regular(&directory, name, OFlags::RDONLY) {
            // Somebody holds a lease on the file (fcntl(2)); our attempt has told him to give it up.
            Err(Fault::System(_, Errno::AGAIN)) if begun.elapsed() < LEASE_BREAK => {
                control.check()?;
                thread::sleep(LEASE_POLL);
            }
            done => return done,
        }
    }
}

/// Opens the regular file `name` of `directory`, and nothing else: opening a device, or a fifo, is heard on its other
/// side. So it is looked at first, on a handle that opens nothing (`O_PATH`), and it is that handle which is opened.
/// Needs /proc.
///
/// # Errors
/// As [`open_regular`]; `EAGAIN` while somebody holds a lease.
pub fn reopen_regular(
    directory: impl AsFd,
    name: &CStr,
    flags: OFlags,
) -> std::result::Result<(OwnedFd, Meta), Fault> {
    let handle = open_entry(directory, name, OFlags::PATH).map_err(looking("open"))?;
    let meta = Meta::from(fstat(&handle).map_err(looking("fstat"))?);
    if meta.kind != FileKind::Regular {
        return Err(Fault::Changed);
    }
    // Not O_NOFOLLOW: the last component is the link to the handle's file. O_NONBLOCK: for leases.
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let (links, link) = (own_handles()?, DecInt::from_fd(&handle));
    // What is read for a copy must not look read: else each first copy would write to each file of the source. Only for
    // the owner and root.
    let quietly = openat(
        links,
        link.as_c_str(),
        flags | OFlags::NOATIME,
        Mode::empty(),
    );
    let opened = match quietly {
        Err(Errno::PERM) => openat(links, link.as_c_str(), flags, Mode::empty()),
        done => done,
    };
    let file = match opened {
        // The link leads to the file even when that has no name left.
        Err(Errno::NOENT) => return Err(Fault::NoProc),
        opened => opened.map_err(looking("open"))?,
    };
    Ok((file, meta))
}

/// The directory of links to this process's handles (proc_pid_fd(5)); open, so that the way there is not walked for each
/// file.
pub(super) fn own_handles() -> std::result::Result<BorrowedFd<'static>, Fault> {
    static HANDLES: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(open) = HANDLES.get() {
        return Ok(open.as_fd());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, "/proc/self/fd", flags, Mode::empty()).map_err(|_| Fault::NoProc)?;
    Ok(HANDLES.get_or_init(|| opened).as_fd())
}

/// EAGAIN means that a rename or mount elsewhere disturbed the kernel's check: it asks to be called again.
fn openat2_patiently(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    const ATTEMPTS: usize = 64;
    // Strict where open(2) is lenient: with O_PATH, openat2(2) refuses (EINVAL) flags that have no effect.
    let always = if flags.contains(OFlags::PATH) {
        OFlags::CLOEXEC
    } else {
        ALWAYS - OFlags::NOFOLLOW
    };
    let mut last = Errno::AGAIN;
    for _ in 0..ATTEMPTS {
        // Without O_NOFOLLOW, so that a symlink at the end is told apart (ELOOP) from what is no directory.
        match openat2(&root, path, flags | always, Mode::empty(), BENEATH) {
            Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
            done => return done,
        }
        if last == Errno::AGAIN && flags.contains(OFlags::NONBLOCK) {
            // It may be a lease, which only time ends: the caller's affair.
            break;
        }
    }
    Err(last)
}

fn open_component(directory: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let opened = match openat(&directory, name, flags | ALWAYS, Mode::empty()) {
        // What O_DIRECTORY says of a symlink; openat2 says ELOOP.
        Err(Errno::NOTDIR) if is_symlink(&directory, name) => return Err(Errno::LOOP),
        done => done?,
    };
    if flags.contains(OFlags::PATH) && Meta::from(fstat(&opened)?).kind == FileKind::Symlink {
        return Err(Errno::LOOP);
    }
    // The device alone does not tell: a bind mount may show another part of the same filesystem.
    if mount_of(opened.as_fd())? != mount_of(directory.as_fd())? {
        return Err(Errno::XDEV);
    }
    // EPERM may also be the file's own; only when the old way works was it the sandbox's.
    OPENAT2_MISSING.store(true, Relaxed);
    Ok(opened)
}

/// The id of the mount through which `file` was opened. Where it can't be told, nothing is opened.
fn mount_of(file: BorrowedFd<'_>) -> Result<u64> {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID) {
        // Since Linux 5.8.
        Ok(told) if told.stx_mask & StatxFlags::MNT_ID.bits() != 0 => return Ok(told.stx_mnt_id),
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    // Since Linux 3.15 (proc_pid_fdinfo(5)).
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()));
    let told = told.map_err(|_| Errno::NOSYS)?;
    let id = told.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.and_then(|id| id.trim().parse().ok()).ok_or(Errno::NOSYS)
}

fn is_symlink(directory: impl AsFd, name: &CStr) -> bool {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| Meta::from(stat).kind == FileKind::Symlink)
}

/// A way to the very file of a handle, also of one that was opened with `O_PATH` (open(2)).
#[must_use]
pub fn way_to(handle: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{os::unix::fs::symlink, process::Command};

    use rustix::{
        fs::{inotify, open},
        io::read,
    };

    use super::*;

    fn rooted() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/file"), "x").unwrap();
        symlink("/", dir.path().join("out")).unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        let root = open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, root)
    }

    fn parse(path: &str) -> RelativePath {
        RelativePath::parse(path.as_bytes()).unwrap()
    }

    #[test]
    fn no_symlink_is_followed_wherever_it_stands() {
        let (_dir, root) = rooted();
        for path in ["out", "out/etc", "a/link"] {
            assert_eq!(
                open_path(&root, &parse(path), DIRECTORY).unwrap_err(),
                Errno::LOOP,
                "{path}"
            );
        }
        assert!(open_path(&root, &parse("a/b"), DIRECTORY).is_ok());
        assert_eq!(
            open_path(&root, &parse("a/file/x"), DIRECTORY).unwrap_err(),
            Errno::NOTDIR
        );
        assert!(open_path(&root, &parse("a/b"), OFlags::PATH | OFlags::DIRECTORY).is_ok());
        assert_eq!(
            open_path(&root, &parse("a/none"), DIRECTORY).unwrap_err(),
            Errno::NOENT
        );
    }

    #[test]
    fn without_openat2_single_components_are_confined_as_well() {
        let (_dir, root) = rooted();
        for name in [c"out", c"none"] {
            assert!(open_component(&root, name, DIRECTORY).is_err());
        }
        let a = open_component(&root, c"a", DIRECTORY).unwrap();
        OPENAT2_MISSING.store(false, Relaxed);
        assert!(open_component(&a, c"link", DIRECTORY).is_err());
        assert!(
            open_component(CWD, c"/proc", DIRECTORY).is_err(),
            "another filesystem"
        );
        assert_eq!(
            open_component(&root, c"out", OFlags::PATH).unwrap_err(),
            Errno::LOOP
        );
        OPENAT2_MISSING.store(false, Relaxed);
    }

    #[test]
    fn a_fifo_is_not_opened_as_a_file_and_does_not_block() {
        let (dir, root) = rooted();
        rustix::fs::mkfifoat(&root, c"fifo", Mode::from_raw_mode(0o600)).unwrap();
        let opens = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let path = dir.path().join("fifo");
        inotify::add_watch(&opens, path, inotify::WatchFlags::OPEN).unwrap();
        let got = open_regular(&root, c"fifo", &Control::default());
        assert_eq!(got.unwrap_err(), Fault::Changed);
        let heard = read(&opens, &mut [0; 256][..]);
        assert_eq!(heard.unwrap_err(), Errno::AGAIN, "it was opened");
    }

    #[test]
    fn without_openat2_a_bind_mount_of_the_same_filesystem_is_a_mount_point() {
        let (dir, root) = rooted();
        let point = dir.path().join("a/b");
        let mounted = Command::new("mount")
            .arg("--bind")
            .arg(dir.path().join("a"))
            .arg(&point)
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            eprintln!("NOT CHECKED: can't mount here, so not whether a bind mount is crossed");
            return;
        }
        let a = open_component(&root, c"a", DIRECTORY).unwrap();
        let crossed = open_component(&a, c"b", DIRECTORY).map(drop);
        OPENAT2_MISSING.store(false, Relaxed);
        Command::new("umount").arg(&point).output().unwrap();
        assert_eq!(crossed.unwrap_err(), Errno::XDEV);
        assert_eq!(
            mount_of(a.as_fd()).unwrap(),
            mount_of(root.as_fd()).unwrap()
        );
    }
}
