//! Mounts.

use vfolder_proto::v1::{MountRequest, RenewMountRequest, UnmountRequest};

use super::{GARBAGE, List, UUID, seconds};

pub(super) fn mounts(list: &mut List, id: &str) {
    let mount = "vfolder.v1.MountService/Mount";
    let good = || MountRequest {
        vfolder_id: id.into(),
        session: "s".into(),
        ..MountRequest::default()
    };
    for (what, session) in [
        ("no session", String::new()),
        ("a session of 129 characters", "s".repeat(129)),
        ("a session with a newline", "a\nb".into()),
    ] {
        list.add(
            mount,
            what,
            MountRequest { session, ..good() },
            &["session"],
        );
    }
    list.add(
        mount,
        "an unknown mode",
        MountRequest { mode: 99, ..good() },
        &["mode"],
    );
    for (what, ttl) in [
        ("no time to live", seconds(0)),
        ("a negative time to live", seconds(-60)),
        ("25 hours to live", seconds(25 * 3600)),
    ] {
        list.add(mount, what, MountRequest { ttl, ..good() }, &["ttl"]);
        let renew = RenewMountRequest {
            vfolder_id: id.into(),
            mount_id: UUID.into(),
            ttl,
        };
        list.add("vfolder.v1.MountService/RenewMount", what, renew, &["ttl"]);
    }
    let all = MountRequest {
        session: String::new(),
        mode: 99,
        ttl: seconds(0),
        ..good()
    };
    list.add(mount, "everything", all, &["session", "mode", "ttl"]);
    for mount_id in ["", GARBAGE] {
        let renew = RenewMountRequest {
            vfolder_id: id.into(),
            mount_id: mount_id.into(),
            ttl: None,
        };
        list.add(
            "vfolder.v1.MountService/RenewMount",
            "no mount",
            renew,
            &["mount_id"],
        );
        let unmount = UnmountRequest {
            vfolder_id: id.into(),
            mount_id: mount_id.into(),
            allow_missing: true,
        };
        list.add(
            "vfolder.v1.MountService/Unmount",
            "no mount",
            unmount,
            &["mount_id"],
        );
    }
}
