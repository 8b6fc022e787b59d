//! The oracle that others have written.

use std::{env, path::Path, process::Command};

use vfolder_images::not_checked;

/// Fails if rsync sees any difference, in either direction: contents, types, modes, owners, times to the nanosecond, hard
/// links, ACLs, extended attributes, devices, and what is on one side only. Of the file `huge`, in a
/// directory, it looks at all but the content, unless the test may take long: it would read every hole four times.
///
/// Both ways, because of names that only the target has in common, rsync doesn't tell.
pub fn assert_same(left: &Path, right: &Path, huge: Option<&str>) {
    let long = env::var_os("VFOLDER_TEST_LONG").is_some();
    let looks = match huge.filter(|_| !long) {
        None => vec![vec!["--checksum".into()]],
        Some(huge) => {
            let (directory, _) = huge.split_once('/').unwrap();
            let only = format!("--include=/{directory}/ --include=/{huge} --exclude=*");
            vec![
                vec!["--checksum".into(), format!("--exclude=/{huge}")],
                only.split(' ').map(String::from).collect(),
            ]
        }
    };
    for (from, to) in [(left, right), (right, left)] {
        for look in &looks {
            let ran = Command::new("rsync")
                // -n: nothing is changed. A window of -1: nanoseconds count.
                .args(["-aHAXn", "--delete", "--modify-window=-1"])
                .args(["--itemize-changes", "--numeric-ids"])
                .args(look)
                .arg(from.join(""))
                .arg(to.join(""))
                .output();
            let Ok(ran) = ran else {
                not_checked("no rsync, so nobody else's opinion on copies");
                return;
            };
            let (told, complaints) = (text(&ran.stdout), text(&ran.stderr));
            assert!(
                ran.status.success() && told.is_empty() && complaints.is_empty(),
                "rsync {look:?} from {} to {}: {}, {complaints}{told}",
                from.display(),
                to.display(),
                ran.status
            );
        }
    }
}

/// The beginning: of whole trees nobody reads more.
fn text(output: &[u8]) -> String {
    let beginning = &output[..output.len().min(4000)];
    String::from_utf8_lossy(beginning).into_owned()
}
