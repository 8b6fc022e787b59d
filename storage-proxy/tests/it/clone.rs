//! What a clone does with symlinks, sockets and a wish to stop. What it copies: `fidelity`.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use vfolder_storage_proxy::tree::Control;

use crate::support::clone;

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
