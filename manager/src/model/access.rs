//! Access kinds.

use super::text::text_enum;

text_enum! {
    /// What an RPC needs the status to be good for. Never stored: declared by each RPC's `admission` option.
    Access {
        /// Reads the record.
        Metadata = "METADATA",
        /// Reads the tree.
        Readable = "READABLE",
        /// Writes into the tree.
        Writable = "WRITABLE",
        /// Changes the record.
        Updatable = "UPDATABLE",
        /// Source of a clone.
        Clonable = "CLONABLE",
        /// Takes a mount.
        Mountable = "MOUNTABLE",
        /// To the trash.
        Deletable = "DELETABLE",
        /// Out of the trash.
        Restorable = "RESTORABLE",
        /// Destroyed.
        Purgable = "PURGABLE",
    }
}
