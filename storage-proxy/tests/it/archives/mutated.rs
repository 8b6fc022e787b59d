//! Archives with bytes changed: whatever they are by then, reading them ends, without a panic, and nothing is written
//! outside.

use std::{fs::File, io::Read as _, io::Write as _};

use proptest::prelude::*;
use vfolder_storage_proxy::{
    archive::{Bounds, Entry, Format, Reader, Stop, What, Writer, detect},
    tree::Control,
};

use super::Scene;

fn packed(format: Format) -> Vec<u8> {
    let mut writer = Writer::new(format, Vec::new()).unwrap();
    let long = "long/".repeat(60);
    for (name, what, content) in [
        ("d", What::Directory, ""),
        ("d/f", What::File { size: 700 }, &*"abcdefg".repeat(100)),
        (&*format!("{long}name"), What::File { size: 3 }, "abc"),
        ("\u{e9}", What::Symlink(b"d/f"), ""),
        ("h", What::HardLink(b"d/f"), ""),
        ("p", What::Fifo, ""),
        ("empty", What::File { size: 0 }, ""),
    ] {
        let entry = Entry {
            name: name.as_bytes(),
            what,
            mode: 0o644,
            uid: 7,
            gid: 7,
            modified: (1_234_567_890, 5),
        };
        writer.entry(&entry, &mut content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

pub fn read(bytes: &[u8], format: Option<Format>) -> Result<u64, Stop> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let Some(format) = format.map_or_else(|| detect(&file), |format| Ok(Some(format)))? else {
        return Ok(0);
    };
    let (size, control) = (bytes.len() as u64, Control::default());
    let mut total = 0;
    let reader = Reader::new(&file, size, format, Bounds::new(size, 1 << 40), &control);
    reader.each(&mut |found, data| -> Result<(), Stop> {
        let mut content = Vec::new();
        data.take(1 << 20).read_to_end(&mut content)?;
        assert!(content.len() as u64 <= found.size.max(1 << 20));
        total += 1;
        Ok(())
    })?;
    Ok(total)
}

const FORMATS: [Format; 4] = [Format::Tar, Format::TarGz, Format::TarZst, Format::Zip];

#[test]
fn what_is_written_is_read() {
    for (format, entries) in FORMATS.into_iter().zip([7, 7, 7, 5]) {
        assert_eq!(read(&packed(format), None), Ok(entries), "{format:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changed_bytes_end_in_an_answer(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = packed(FORMATS[which]);
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for format in [None, Some(FORMATS[which])] {
            let _ = read(&bytes, format);
        }
    }

    #[test]
    fn any_bytes_at_all_end_in_an_answer(
        which in 0..4_usize,
        bytes in prop::collection::vec(any::<u8>(), 0..3_000),
    ) {
        let _ = read(&bytes, Some(FORMATS[which]));
        let _ = read(&bytes, None);
    }
}

/// The same through a task, with a look at what is around the tree.
#[test]
fn what_is_unpacked_of_changed_archives_stays_in_the_tree() {
    let scene = Scene::new();
    let outside = scene.rig.dir.path().join("outside");
    File::create(&outside).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = &scene;
    let cases = ProptestConfig::with_cases(48);
    proptest!(cases, |(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    )| {
        let mut bytes = packed(FORMATS[which]);
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let _ = std::fs::remove_dir_all(scene.tree().join("out"));
        std::fs::write(scene.tree().join("archive"), &bytes).unwrap();
        let ended = runtime.block_on(async { scene.extract(scene.extraction("archive")).await });
        let retryable = ended.failure.is_some_and(|failure| failure.retryable);
        prop_assert!(!retryable);
        let around = std::fs::read_dir(scene.rig.dir.path()).unwrap().count();
        prop_assert_eq!(around, 2);
        let top = std::fs::read_dir(scene.tree()).unwrap().count();
        prop_assert!(top <= 2);
        prop_assert_eq!(std::fs::metadata(&outside).unwrap().len(), 0);
    });
}
