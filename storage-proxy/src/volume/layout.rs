//! Where what is on a volume.

use uuid::Uuid;

/// The description of the volume.
pub const DESCRIPTION: &str = "volume.json";
/// The lock of the owner.
pub const LOCK: &str = "lock";
/// The vfolders' trees.
pub const TREE: &str = "tree";
/// Unpublished work.
pub const STAGING: &str = "staging";
/// Trees that are being destroyed.
pub const TRASH: &str = "trash";
/// What tasks need to know after a restart.
pub const JOURNAL: &str = "journal";
/// Files that arrive in pieces. Made when the volume is opened: volumes of earlier versions have none.
pub const UPLOADS: &str = "uploads";
/// In the journal: who may still come into which tree.
pub const EPOCHS: &str = "epochs";
/// In the journal: what is in the trees of those that are limited.
pub const QUOTAS: &str = "quotas";

/// The volume's directories and their modes. Sessions mount what is below `tree`, so that one can be passed through;
/// what is in the others is nobody's but ours.
pub const DIRECTORIES: [(&str, u32); 4] = [
    (TREE, 0o711),
    (STAGING, 0o700),
    (TRASH, 0o700),
    (JOURNAL, 0o700),
];

/// Mode of `tree/<yy>` and `tree/<yy>/<zz>`.
pub const FAN_OUT_MODE: u32 = 0o711;

/// The two directories between `tree` and a vfolder's tree: the last two bytes of its id, in hexadecimal. (The first bytes
/// of a UUIDv7 are the time, which would put all of a day into one place.)
pub fn fan_out(vfolder: Uuid) -> [String; 2] {
    let bytes = vfolder.as_bytes();
    [format!("{:02x}", bytes[14]), format!("{:02x}", bytes[15])]
}

/// The path of a vfolder's tree relative to the volume's root: of a uuid that ends in …cdef, `tree/cd/ef/<uuid>`.
#[must_use]
pub fn tree_path(vfolder: Uuid) -> String {
    let [yy, zz] = fan_out(vfolder);
    format!("{TREE}/{yy}/{zz}/{vfolder}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_bytes_of_the_id_lead_to_the_tree() {
        let id = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_cdef);
        assert_eq!(
            tree_path(id),
            "tree/cd/ef/01990000-0000-7000-8000-00000000cdef"
        );
    }
}
