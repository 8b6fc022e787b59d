//! The admission table: which access kind each status admits.

use super::{Access, Status};

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Refused.
    No,
    /// Admitted.
    Yes,
    /// Admitted where the request asks for read-only.
    ReadOnly,
    /// Admitted where every live mount is read-only.
    MountsReadOnly,
    /// Admitted where the request says `skip_trash`.
    SkipTrash,
}

impl Cell {
    /// The condition, for a person; empty where there is none.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::No | Self::Yes => "",
            Self::ReadOnly => "read-only",
            Self::MountsReadOnly => "while every mount is read-only",
            Self::SkipTrash => "with skip_trash",
        }
    }
}

/// What decides the conditional cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The request asks for no more than reading.
    pub read_only: bool,
    /// The request says `skip_trash`.
    pub skip_trash: bool,
    /// No live mount writes.
    pub mounts_read_only: bool,
}

/// Looks a cell up.
#[must_use]
pub const fn cell(access: Access, status: Status) -> Cell {
    use Cell::{MountsReadOnly, No, ReadOnly, SkipTrash, Yes};
    // CREATING READY PERFORMING CLONING MOUNTED TRASHED DELETING DELETED ERROR
    let row = match access {
        Access::Metadata => [Yes, Yes, Yes, Yes, Yes, Yes, Yes, Yes, Yes],
        Access::Readable => [No, Yes, Yes, Yes, Yes, Yes, No, No, No],
        Access::Writable => [No, Yes, No, No, Yes, No, No, No, No],
        Access::Updatable => [No, Yes, No, No, No, No, No, No, No],
        Access::Clonable => [No, Yes, No, Yes, MountsReadOnly, No, No, No, No],
        Access::Mountable => [No, Yes, ReadOnly, ReadOnly, Yes, No, No, No, No],
        Access::Deletable => [No, Yes, No, No, No, No, No, No, Yes],
        Access::Restorable => [No, No, No, No, No, Yes, No, No, No],
        Access::Purgable => [No, SkipTrash, No, No, No, Yes, No, No, Yes],
    };
    row[status as usize]
}

/// Decides.
#[must_use]
pub const fn admits(access: Access, status: Status, conditions: Conditions) -> bool {
    match cell(access, status) {
        Cell::No => false,
        Cell::Yes => true,
        Cell::ReadOnly => conditions.read_only,
        Cell::MountsReadOnly => conditions.mounts_read_only,
        Cell::SkipTrash => conditions.skip_trash,
    }
}

/// The statuses that admit an access kind, at least under a condition.
pub fn admitting(access: Access) -> impl Iterator<Item = (Status, Cell)> {
    Status::ALL
        .iter()
        .map(move |&status| (status, cell(access, status)))
        .filter(|(_, cell)| *cell != Cell::No)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The design's table, written down a second time: rows are access kinds, columns statuses.
    const DESIGN: &str = "
        access     CREATING READY PERFORMING CLONING MOUNTED TRASHED DELETING DELETED ERROR
        METADATA   y        y     y          y       y       y       y        y       y
        READABLE   -        y     y          y       y       y       -        -       -
        WRITABLE   -        y     -          -       y       -       -        -       -
        UPDATABLE  -        y     -          -       -       -       -        -       -
        CLONABLE   -        y     -          y       ro      -       -        -       -
        MOUNTABLE  -        y     ro         ro      y       -       -        -       -
        DELETABLE  -        y     -          -       -       -       -        -       y
        RESTORABLE -        -     -          -       -       y       -        -       -
        PURGABLE   -        skip  -          -       -       y       -        -       y
    ";

    #[test]
    fn the_table_is_the_designs() {
        let mut lines = DESIGN.lines().map(str::trim).filter(|l| !l.is_empty());
        let columns: Vec<Status> = lines
            .next()
            .into_iter()
            .flat_map(|l| l.split_whitespace().skip(1))
            .filter_map(|name| name.parse().ok())
            .collect();
        assert_eq!(columns, Status::ALL);
        let mut rows = 0;
        for line in lines {
            let mut words = line.split_whitespace();
            let Some(Ok(access)) = words.next().map(str::parse::<Access>) else {
                unreachable!("no access kind in {line}")
            };
            assert_eq!(access, Access::ALL[rows]);
            for (status, word) in columns.iter().zip(words) {
                let expected = match (word, access) {
                    ("y", _) => Cell::Yes,
                    ("-", _) => Cell::No,
                    ("ro", Access::Clonable) => Cell::MountsReadOnly,
                    ("ro", _) => Cell::ReadOnly,
                    _ => Cell::SkipTrash,
                };
                assert_eq!(cell(access, *status), expected, "{access} in {status}");
            }
            rows += 1;
        }
        assert_eq!(rows, Access::ALL.len());
    }

    #[test]
    fn a_condition_decides_its_own_cells_and_no_others() {
        let all = Conditions {
            read_only: true,
            skip_trash: true,
            mounts_read_only: true,
        };
        for access in Access::ALL {
            for status in Status::ALL {
                let cell = cell(*access, *status);
                assert_eq!(admits(*access, *status, all), cell != Cell::No);
                assert_eq!(
                    admits(*access, *status, Conditions::default()),
                    cell == Cell::Yes
                );
            }
        }
    }
}
