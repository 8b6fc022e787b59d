//! What lists and searches have in common: sizes and beginnings of pages.

use vfolder_common::error::Fields;

use crate::{grpc::page_token::Asked, tree::RelativePath};

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;

/// How many entries are asked for.
pub fn read_size(page_size: i32, fields: &mut Fields) -> usize {
    match usize::try_from(page_size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(LARGEST_PAGE),
        Err(_) => {
            fields.wrong("page_size", "must not be negative");
            DEFAULT_PAGE
        }
    }
}

/// Where a page begins.
#[derive(Debug)]
pub struct Begin {
    /// When the first page was asked for, by this process's clock.
    pub since: u64,
    /// After this. Nothing: it is the first page.
    pub place: Option<Vec<u8>>,
}

impl Begin {
    /// Reads a token. What it says counts only if it was made for what is `asked` for, and `is_good` agrees.
    pub fn read(
        asked: Asked,
        token: &str,
        now: u64,
        is_good: impl FnOnce(&[u8]) -> bool,
        fields: &mut Fields,
    ) -> Self {
        let first = Self {
            since: now,
            place: None,
        };
        if token.is_empty() {
            return first;
        }
        match asked.read(token).filter(|(_, place)| is_good(place)) {
            Some((since, place)) => Self {
                // Of an earlier process: before all that this one has read.
                since: if since > now { 0 } else { since },
                place: Some(place),
            },
            None => {
                fields.wrong(
                    "page_token",
                    "must come from the previous page of the same request; begin again without it",
                );
                first
            }
        }
    }

    /// The path after which it begins.
    pub fn path(&self) -> Option<RelativePath> {
        let place = self.place.as_deref();
        place.and_then(|place| RelativePath::parse(place).ok())
    }
}

/// Whether it is the path of something below `base`.
pub fn is_below(place: &[u8], base: &RelativePath) -> bool {
    RelativePath::parse(place).is_ok_and(|path| path.is_below(base))
}
