//! What a clone does with symlinks, sockets and a wish to stop. What it copies: `fidelity`.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
};

use vfolder_images::not_checked;
use vfolder_storage_proxy::tree::{Control, Fault};

use crate::{mounted::Mounted, support::clone};

#[test]
fn a_symlink_is_copied_as_a_symlink_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    symlink("../outside", source.join("directory")).unwrap();
    symlink("../outside/secret", source.join("file")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copy = dir.path().join("copy");
    assert_eq!(
        fs::read_link(copy.join("directory")).unwrap(),
        Path::new("../outside")
    );
    assert_eq!(
        fs::read_link(copy.join("file")).unwrap(),
        Path::new("../outside/secret")
    );
}

#[test]
fn a_clone_that_is_asked_to_stop_stops() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let control = Control::default();
    control.stop();
    assert!(
        clone(&source, dir.path(), "copy", &control)
            .unwrap_err()
            .is_cancelled()
    );
}

#[test]
fn a_socket_in_use_is_copied_as_a_socket() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let source = dir.path().join("s");
    fs::create_dir(&source).unwrap();
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    use std::os::unix::fs::FileTypeExt as _;
    assert!(
        fs::symlink_metadata(dir.path().join("copy/socket"))
            .unwrap()
            .file_type()
            .is_socket()
    );
}

/// A directory, on a filesystem of its own, that takes names that differ in case only for one.
fn without_case(dir: &Path) -> Option<Mounted<'_>> {
    let image = dir.with_extension("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let run = |program: &str, arguments: &[&str], last: &Path| {
        let done = Command::new(program).args(arguments).arg(last).output();
        done.is_ok_and(|done| done.status.success())
    };
    let made = run("mkfs.ext4", &["-qF", "-O", "casefold"], &image);
    let mounted = made.then(|| Mounted::file(&image, dir)).flatten();
    let Some(mounted) = mounted else {
        not_checked("no ext4 with casefold here, so not what becomes of names that differ in case");
        return None;
    };
    assert!(fs::create_dir(dir.join("fold")).is_ok());
    assert!(run("chattr", &["+F"], &dir.join("fold")));
    Some(mounted)
}

/// What it is called, and how to make one.
type Kind<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn names_that_the_copys_directory_takes_for_one_are_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let Some(_mounted) = without_case(&disk) else {
        return;
    };
    let file = |path: &Path| fs::write(path, path.to_str().unwrap()).unwrap();
    let tree = |path: &Path| {
        fs::create_dir(path).unwrap();
        file(&path.join("in it"));
    };
    let linked = |path: &Path| {
        file(path);
        fs::hard_link(path, path.with_extension("another")).unwrap();
    };
    let fifo = |path: &Path| drop(UnixListener::bind(path).unwrap());
    let kinds: [Kind<'_>; 4] = [
        ("file", &file),
        ("tree", &tree),
        ("linked", &linked),
        ("socket", &fifo),
    ];
    for (kind, make) in kinds {
        let source = dir.path().join(kind);
        fs::create_dir(&source).unwrap();
        make(&source.join("name"));
        let cloned = |copy: &str| {
            let copy = format!("{kind}-{copy}");
            clone(&source, &disk.join("fold"), &copy, &Control::default())
        };
        cloned("alone").unwrap();
        make(&source.join("NAME"));
        let error = cloned("both").unwrap_err();
        assert_eq!(error.fault, Fault::Alike, "{kind}");
        assert_eq!(error.path.to_ascii_lowercase(), b"name", "{kind}");
    }
}
