//! Rows and trees, compared with the reference.

use std::{collections::BTreeSet, fs};

use vfolder_manager::model::Status;
use vfolder_proto::v1::{ListVFoldersRequest, VFolder};
use vfolder_tests::{User, assert_same_but_for_directories_times, assert_same_tree, count_entries};

use super::{
    drive::{World, status_of},
    reference::{Reference, Unpacked},
    work::OUT,
};

/// What every tree begins with.
pub const BULK: &str = "bulk";
pub const FILES: usize = 200;
/// With directories and links of `fill`, and itself.
const BULK_ENTRIES: usize = FILES + 2 * FILES / 100 + 1;

impl World {
    pub async fn rows(&mut self, show_deleted: bool) -> Vec<VFolder> {
        let request = ListVFoldersRequest {
            page_size: 1_000,
            show_deleted,
            ..ListVFoldersRequest::default()
        };
        let asked = async |mut a: User| a.vfolders.list_v_folders(request).await;
        let page = self.ask(|_| Ok(()), asked).await.unwrap();
        page.into_inner().vfolders
    }

    pub async fn list(&mut self, show_deleted: bool) {
        let before = self.reference.clone();
        let found: BTreeSet<String> = self
            .rows(show_deleted)
            .await
            .into_iter()
            .map(|v| v.id)
            .collect();
        for (v, row) in self.reference.vfolders.iter().enumerate() {
            let shown = |r: &Reference| show_deleted || !r.status(v).is_put_away();
            let is = found.contains(&row.id);
            assert!(
                is == shown(&before) || is == shown(&self.reference),
                "{row:?}"
            );
        }
    }

    /// Every row is what the reference says.
    pub async fn compare_rows(&mut self) {
        self.look_at_operations().await;
        let before = self.reference.clone();
        let rows = self.rows(true).await;
        assert_eq!(rows.len(), self.reference.vfolders.len());
        for (v, (row, expected)) in rows.iter().zip(&self.reference.vfolders).enumerate() {
            let found = status_of(row);
            let (was, is) = (before.status(v), self.reference.status(v));
            assert!(
                found == was || found == is,
                "{found}, not {was} or {is}: {row:?}"
            );
            assert_eq!(
                (&row.id, &row.name, &row.description),
                (&expected.id, &expected.name, &expected.description)
            );
            assert_eq!(
                row.purge_time.is_some(),
                found == Status::Trashed,
                "{row:?}"
            );
            // Statuses and operations are read one after the other: what ends between is in one of them.
            if was == is {
                let counts = |name: &&String| !self.reference.is_only_counting(name);
                let backing = row.operations.iter().filter(counts).count();
                assert_eq!(backing == 0, !is.is_transient(), "{row:?}");
            }
        }
    }

    /// Once all operations have ended: what has a tree has the right one, what is DELETED has none.
    pub fn compare_trees(&self) {
        for (v, row) in self.reference.vfolders.iter().enumerate() {
            let tree = self.system.tree(&row.id);
            if self.reference.status(v) == Status::Deleted {
                assert!(!tree.exists(), "{row:?}");
                continue;
            }
            let entries = fs::read_dir(&tree).unwrap();
            let mut found: BTreeSet<String> = entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            let unpacked = found.remove(OUT);
            match row.unpacked {
                Unpacked::No => assert!(!unpacked, "{row:?}"),
                Unpacked::Perhaps => {}
                Unpacked::Whole => assert_same_tree(&self.source, &tree.join(OUT)),
                Unpacked::Over => {
                    assert_same_but_for_directories_times(&self.source, &tree.join(OUT));
                }
            }
            assert_eq!(found, row.directories, "{row:?}");
            assert_eq!(count_entries(&tree.join(BULK)), BULK_ENTRIES, "{row:?}");
        }
    }
}
