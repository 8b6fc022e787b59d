//! What can be said on the command line.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};

use crate::tree::Workers;

/// Works on plain directory trees, as the server does on vfolders.
#[derive(Debug, Subcommand)]
pub enum TreeCommand {
    /// Copies a tree with all that it has: holes, links, owners, modes, times, extended attributes.
    ///
    /// DST appears by one rename, whole and on disk, or not at all. Until then the copy is in .NAME.vfolder-clone beside
    /// it. SIGINT or SIGTERM stops and removes that (exit code 130); a second one ends at once and leaves it: the next
    /// clone to the same place sees to it.
    Clone(CloneArgs),
    /// Destroys trees: each is out of sight after one rename, then its space is given back.
    ///
    /// All are looked at before any is touched: no PATH is a root, a mount point or holds one. As with rm(1), permissions
    /// and flags stand, and what somebody has open stays whole for him; btrfs subvolumes go whole, whatever flags are in
    /// them, read-only ones, too. A tree that is being destroyed is called .NAME.vfolder-trash-ID; if it is interrupted
    /// (exit code 130), remove that. On a disk too full for a new name, a tree is destroyed where it is.
    Remove(RemoveArgs),
    /// Prints a tree's digest: equal for equal trees, whatever filesystem they are on.
    Digest(DigestArgs),
    /// Prints what differs between two trees, a path a line, in no particular order.
    ///
    /// Compared are names, kinds, modes, owners, times of the last change, extended attributes, hard links, symlinks'
    /// targets and contents. The exit code is that of diff(1): 0 if they are equal, 1 if not, 2 if that can't be told.
    Diff(DiffArgs),
}

/// `tree clone`.
#[derive(Args, Debug)]
pub struct CloneArgs {
    /// The directory to copy.
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// What the copy will be called; must be free.
    #[arg(value_name = "DST")]
    pub target: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub shown: Shown,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub threads: Threads,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub sync: Sync,
}

/// `tree remove`.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The trees; files will do.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// A PATH that does not exist is no error.
    #[arg(long, short)]
    pub force: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub shown: Shown,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub threads: Threads,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub sync: Sync,
}

/// `tree digest`.
#[derive(Args, Debug)]
pub struct DigestArgs {
    /// The tree.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub shown: Shown,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub threads: Threads,
}

/// `tree diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The first tree.
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// The second tree.
    #[arg(value_name = "B")]
    pub second: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub shown: Shown,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's help")]
    pub threads: Threads,
}

/// What is told meanwhile and at the end.
#[derive(Args, Clone, Copy, Debug)]
pub struct Shown {
    /// Shows no progress and no summary; errors only.
    #[arg(long, short)]
    pub quiet: bool,
    /// Tells what happens on standard output, one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// How many threads work.
#[derive(Args, Clone, Copy, Debug)]
pub struct Threads {
    /// How many threads walk through the tree, also where the filesystem could do without; by default as many as it
    /// profits from.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl Threads {
    /// As the engine takes it.
    pub fn workers(self, default: Workers) -> Workers {
        self.threads.map_or(default, Workers::new)
    }
}

/// Whether the result is on disk when the program ends.
#[derive(Args, Clone, Copy, Debug)]
pub struct Sync {
    /// Leaves out all syncs: faster, and what a power cut soon after leaves is anybody's guess.
    #[arg(long)]
    pub no_sync: bool,
}
