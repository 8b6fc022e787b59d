//! What the directory that a volume or a copy is in hands on to all that is made there, trees don't get.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::{
    fs::{XattrFlags, lgetxattr, setxattr},
    io::Errno,
};
use uuid::Uuid;
use vfolder_images::not_checked;
use vfolder_storage_proxy::{task::Work, volume::init};

use crate::{
    offline::{succeeds, tree},
    oracle::walk,
    support::{Rig, run},
    tasks::outcome,
};

/// An ACL as Linux keeps it (`linux/posix_acl_xattr.h`): the owner and user 1000 may do all, the group read, others nothing.
fn acl() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, NOBODY),
        (0x02, 7, 1000),
        (0x04, 5, NOBODY),
        (0x10, 7, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.write_all(&tag.to_le_bytes()).unwrap();
        acl.write_all(&permissions.to_le_bytes()).unwrap();
        acl.write_all(&id.to_le_bytes()).unwrap();
    }
    acl
}

/// Whatever is made in `directory` will have the ACL. False where there are none.
fn hands_on(directory: &Path) -> bool {
    let set = setxattr(
        directory,
        "system.posix_acl_default",
        &acl(),
        XattrFlags::empty(),
    );
    if set == Err(Errno::OPNOTSUPP) {
        not_checked("there are no ACLs here, so not whether they are inherited");
        return false;
    }
    set.unwrap();
    true
}

fn has_none(tree: &Path) {
    let paths = walk(tree).into_iter().map(|path| tree.join(path));
    for path in paths.chain([tree.to_owned()]) {
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            let found = lgetxattr(&path, name, &mut [0; 256]);
            assert_eq!(found, Err(Errno::NODATA), "{name} of {}", path.display());
        }
    }
}

fn fill(tree: &Path) {
    fs::create_dir(tree.join("d")).unwrap();
    fs::write(tree.join("d/f"), "x").unwrap();
    fs::set_permissions(tree.join("d/f"), fs::Permissions::from_mode(0o640)).unwrap();
}

#[test]
fn a_volumes_trees_have_no_acl_that_nobody_gave_them() {
    let dir = tempfile::tempdir().unwrap();
    if !hands_on(dir.path()) {
        return;
    }
    let volume = dir.path().join("v");
    init(&volume, "v").unwrap();
    // However they got it.
    for place in [".", "staging", "trees"] {
        let place = volume.join(place);
        if place.exists() {
            assert!(hands_on(&place));
        }
    }
    let rig = Rig::on(dir);
    let [source, vfolder] = [(); 2].map(|()| Uuid::now_v7());
    let work = |work| {
        let spec = rig.spec(work);
        let ended = run(async { outcome(rig.tasks.run(Uuid::now_v7(), spec).unwrap()).await });
        assert_eq!(ended.failure, None);
    };
    work(Work::Create { vfolder: source });
    has_none(&rig.tree(source));
    fill(&rig.tree(source));
    work(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    has_none(&rig.tree(vfolder));
}

#[test]
fn a_copy_has_no_acl_that_its_source_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let [source, place] = ["source", "place"].map(|name| dir.path().join(name));
    fs::create_dir(&source).unwrap();
    fill(&source);
    fs::create_dir(&place).unwrap();
    if !hands_on(&place) {
        return;
    }
    let copy = place.join("copy");
    succeeds(&mut tree([Path::new("clone"), &source, &copy]));
    has_none(&copy);
}
