//! A page of what is below a directory.

use std::time::Instant;

use super::{Entry, FileKind, Preorder, Reading, RelativePath, TreeError, TreeRoot, list::Told};

/// What is looked for below a directory.
pub struct Wanted<'a> {
    /// So many entries at most.
    pub size: usize,
    /// So many levels at most; 1 is the directory itself.
    pub max_depth: usize,
    /// The page ends then at the latest, however little was found. At least one entry is passed.
    pub until: Option<Instant>,
    /// Only those whose path from the directory, and name, are told true of.
    pub matching: &'a dyn Fn(&[u8], &[u8]) -> bool,
    /// Only those that are one of these. None: any.
    pub kinds: &'a [FileKind],
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where, from the tree's root.
    pub path: Vec<u8>,
    /// What.
    pub entry: Entry,
}

/// Part of what is below a directory.
#[derive(Clone, Debug)]
pub struct Findings {
    /// In the order of [`Preorder`].
    pub found: Vec<Found>,
    /// The next page begins after the entry of this path. Nothing on the last page.
    pub next_after: Option<Vec<u8>>,
}

impl TreeRoot {
    /// What is wanted below the directory at `base`, after the entry at `after`.
    ///
    /// # Errors
    /// The first fault and where; what vanishes meanwhile is none.
    pub fn find(
        &self,
        base: &RelativePath,
        after: Option<&RelativePath>,
        wanted: &Wanted<'_>,
        reading: Reading<'_>,
    ) -> Result<Findings, TreeError> {
        let mut walk = Preorder::new(self, base, after, wanted.max_depth, reading)?;
        let (mut told, mut found) = (Told::default(), Vec::new());
        let mut last = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
        // After the base's own path comes a '/', unless it is the root.
        let base_bytes = match base.as_bytes().len() {
            0 => 0,
            bytes => bytes + 1,
        };
        for passed in 0_usize.. {
            let Some(spot) = walk.advance()? else {
                break;
            };
            // Each time: of some patterns and paths, one comparison takes far longer than a look at the clock.
            let late = passed > 0 && wanted.until.is_some_and(|until| Instant::now() > until);
            let mut full = found.len() == wanted.size || late;
            let path = walk.path().get(base_bytes..).unwrap_or_default();
            if !full
                && (wanted.matching)(path, spot.name.to_bytes())
                && let Some(entry) = walk.describe(&spot)?
                && (wanted.kinds.is_empty() || wanted.kinds.contains(&entry.meta.kind))
            {
                full = !told.has_room(&entry, walk.path()) && !found.is_empty();
                if !full {
                    let path = walk.path().to_vec();
                    found.push(Found { path, entry });
                }
            }
            if full {
                walk.keep();
                return Ok(Findings {
                    found,
                    next_after: Some(last),
                });
            }
            last.clear();
            last.extend_from_slice(walk.path());
        }
        Ok(Findings {
            found,
            next_after: None,
        })
    }
}
