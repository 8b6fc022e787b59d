//! A process that makes and mounts an image, and unmounts it when whoever started it is gone.
//!
//! It learns of that by the end of its standard input, which the kernel closes with its starter, so that nothing stays
//! mounted after a test that panicked or was killed. It is in a process group of its own, because test runners kill groups.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{Filesystem, disk::new_directory};

/// Arguments: the directory that has `image` and `at`, the mount options, and how to make the filesystem.
///
/// mount(8) finds a free loop device and takes it in two steps, between which another may be faster; so it tries again.
/// The image loses its name at once: when it is unmounted, or the machine goes down, its memory is free.
const SCRIPT: &str = r#"
directory=$1 options=$2
shift 2
mount_it() {
    for pause in 0.1 0.2 0.4 0.8 0; do
        mount -o "$options" "$directory/image" "$directory/at" && return
        sleep "$pause"
    done
    return 1
}
{ "$@" >&2 && mount_it; } </dev/null && rm "$directory/image" && echo mounted || echo failed
cat >/dev/null
exec 2>/dev/null
umount "$directory/at" || umount --lazy "$directory/at"
rm -f "$directory/image"
rmdir "$directory/at" "$directory"
"#;

/// An image, mounted until this is dropped.
#[derive(Debug)]
pub struct Keeper {
    process: Child,
    at: PathBuf,
}

impl Keeper {
    /// Makes and mounts an image of `bytes`.
    ///
    /// # Errors
    ///
    /// What mkfs or mount have said.
    pub fn mount(filesystem: Filesystem, bytes: u64) -> Result<Self, String> {
        // From here on the keeper's to remove.
        let directory = new_directory().keep();
        let (image, at) = (directory.join("image"), directory.join("at"));
        let made = File::create(&image).and_then(|file| file.set_len(bytes));
        made.and_then(|()| std::fs::create_dir(&at))
            .expect("a new directory takes a file and a directory");
        let process = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("keeper")
            .arg(&directory)
            .arg(filesystem.mount_options())
            .args(filesystem.mkfs(&image, bytes))
            .env("PATH", with_sbin())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        let mut keeper = Self { process, at };
        keeper.wait_for_mount()?;
        Ok(keeper)
    }

    /// Where it is mounted.
    pub fn mounted_at(&self) -> &Path {
        &self.at
    }

    fn wait_for_mount(&mut self) -> Result<(), String> {
        let (said, complaints) = (self.process.stdout.take(), self.process.stderr.take());
        let mut line = String::new();
        let mut said = BufReader::new(said.expect("it is piped"));
        said.read_line(&mut line).expect("text");
        if line == "mounted\n" {
            return Ok(());
        }
        drop(self.process.stdin.take());
        let mut why = String::new();
        let _ = complaints.expect("it is piped").read_to_string(&mut why);
        Err(why.trim().to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// mkfs and mount may be where only root looks for programs.
fn with_sbin() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
