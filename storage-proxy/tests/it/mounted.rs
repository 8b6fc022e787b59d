//! Filesystems to test on. Needs to mount; where it can't, it says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use vfolder_images::not_checked;

/// A filesystem, until this is dropped.
pub struct Mounted<'a> {
    at: &'a Path,
    /// Where its image is.
    image: Option<TempDir>,
}

impl<'a> Mounted<'a> {
    pub fn tmpfs(at: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        Self::try_at(&["-t", "tmpfs", "-o", size, "none"], at, None)
    }

    /// A filesystem of this `kind` in a file, which takes no more space than what is written. (XFS takes 300 MiB at
    /// least.)
    pub fn image(kind: &str, at: &'a Path, bytes: u64) -> Option<Self> {
        Self::image_with(kind, &[], at, bytes)
    }

    /// As [`Mounted::image`], made with those options of its mkfs.
    pub fn image_with(kind: &str, options: &[&str], at: &'a Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        // In memory, where that is possible: nothing here outlives a power cut.
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => TempDir::new_in(memory).unwrap(),
            false => TempDir::new().unwrap(),
        };
        let image = directory.path().join("image");
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let force = if kind == "ext4" { "-qF" } else { "-qf" };
        let made = Command::new(format!("mkfs.{kind}"))
            .arg(force)
            .args(options)
            .arg(&image)
            .output();
        if !made.is_ok_and(|done| done.status.success()) {
            not_checked(&format!(
                "mkfs.{kind} is missing or fails, so nothing on {kind}"
            ));
            return None;
        }
        let arguments = ["-o", "loop", image.to_str().unwrap()];
        Self::try_at(&arguments, at, Some(directory))
    }

    /// Copies the image, as a power cut at this moment would leave it: without what is only in memory.
    pub fn copy_image(&self) -> PathBuf {
        let image = self.image_file();
        let copy = image.with_extension("copy");
        let done = Command::new("cp")
            .arg("--sparse=always")
            .args([&image, &copy])
            .status();
        assert!(done.unwrap().success());
        copy
    }

    /// Unmounts it and waits until the last who had files open has gone.
    pub fn end(&self) {
        self.unmount();
        let image = self.image_file();
        let begun = Instant::now();
        loop {
            let users = Command::new("losetup").arg("-j").arg(&image).output();
            if users.unwrap().stdout.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "somebody keeps it"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is in the file `image`, another one's.
    pub fn file(image: &Path, at: &'a Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        Self::try_at(&["-o", "loop", image.to_str().unwrap()], at, None)
    }

    fn image_file(&self) -> PathBuf {
        self.image.as_ref().unwrap().path().join("image")
    }

    /// Whoever has files open keeps it.
    pub fn unmount(&self) {
        let done = Command::new("umount").arg("--lazy").arg(self.at).status();
        assert!(done.unwrap().success());
    }

    fn try_at(arguments: &[&str], at: &'a Path, image: Option<TempDir>) -> Option<Self> {
        if mount(arguments, at) {
            return Some(Self { at, image });
        }
        not_checked(&format!("can't mount {arguments:?} here"));
        None
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at).status();
        // The directory that contains it could not be removed while this was mounted.
        let _ = fs::remove_dir(self.at);
        let _ = self.at.parent().map(fs::remove_dir);
    }
}

pub fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount")
        .args(arguments)
        .arg(at)
        .output()
        .is_ok_and(|done| done.status.success())
}
