//! What was promised, and whether it is kept.

use crate::{
    cases::Case,
    image::Filesystem::{self, Btrfs, Ext4, Xfs},
    results::{Extra, Key, Results, Verb},
    tools::Tool,
};

/// A promise. Smaller is better in all of them.
#[derive(Clone, Debug)]
pub struct Target {
    /// What.
    pub what: String,
    /// The unit of the numbers: "×" (ours divided by theirs), "s" or "MiB".
    pub unit: &'static str,
    /// To be kept.
    pub commit: f64,
    /// To be reached for.
    pub reach: Option<f64>,
    /// As measured; nothing if it was not.
    pub measured: Option<f64>,
}

/// All of them.
pub fn targets(results: &Results) -> Vec<Target> {
    let measured = |filesystem, case, verb, sync, tool| {
        let key = Key {
            filesystem,
            case,
            verb,
            sync,
            tool,
        };
        results.get(key)
    };
    let wall = |filesystem, case, verb, tool| {
        Some(measured(filesystem, case, verb, false, tool)?.ratios()?.0)
    };
    let ratio = |what: &str, commit, reach, measured| Target {
        what: what.into(),
        unit: "×",
        commit,
        reach,
        measured,
    };
    let clone = |case, tool| wall(Ext4, case, Verb::Clone, tool);
    let mut all = vec![
        ratio(
            "A on ext4, clone: of the time of cp -a",
            1.0 / 2.5,
            Some(1.0 / 3.0),
            clone(Case::Small, Tool::Cp),
        ),
        ratio(
            "A on ext4, clone: of the time of cpz",
            1.1,
            Some(0.9),
            clone(Case::Small, Tool::Cpz),
        ),
        ratio(
            "A on ext4, clone: of the processor time of the bound",
            1.45,
            Some(1.25),
            measured(Ext4, Case::Small, Verb::Clone, false, Tool::Bound)
                .and_then(|runs| Some(runs.ratios()?.1)),
        ),
        ratio(
            "B on ext4, clone: of the time of cp -a",
            1.0 / 2.7,
            None,
            clone(Case::Dependencies, Tool::Cp),
        ),
        ratio(
            "B on ext4, clone: of the time of rsync -aHAX",
            1.0 / 3.3,
            None,
            clone(Case::Dependencies, Tool::Rsync),
        ),
        ratio(
            "E on ext4, clone: of the time of cp -a",
            1.0 / 1.35,
            None,
            clone(Case::Wide, Tool::Cp),
        ),
        ratio(
            "D on ext4, clone: of the time of cp -a",
            1.2,
            None,
            clone(Case::Sparse, Tool::Cp),
        ),
        ratio(
            "C on ext4, clone with the sync: of the time of the fastest peer",
            1.0,
            None,
            fastest(Tool::PEERS, |tool| {
                let runs = measured(Ext4, Case::Big, Verb::Clone, true, tool)?;
                Some((runs.medians()?.0, runs.ratios()?.0))
            }),
        ),
    ];
    for case in [Case::Big, Case::Sparse] {
        for filesystem in [Xfs, Btrfs] {
            let ours = measured(filesystem, case, Verb::Clone, false, Tool::Ours);
            all.push(Target {
                what: format!(
                    "{} on {}, clone by reflink",
                    case.letter(),
                    filesystem.name()
                ),
                unit: "s",
                commit: 0.020,
                reach: None,
                measured: ours.and_then(|runs| Some(runs.medians()?.0)),
            });
        }
    }
    for case in [Case::Small, Case::Dependencies] {
        let of_rmz = wall(Ext4, case, Verb::Remove, Tool::Rmz);
        let what = format!("{} on ext4, remove: of the time of rmz", case.letter());
        all.push(ratio(&what, 1.1, None, of_rmz));
        for filesystem in [Xfs, Btrfs] {
            let (what, of_better) = remove_elsewhere(filesystem, case, &measured);
            all.push(ratio(&what, 1.05, None, of_better));
        }
    }
    all.extend(extras(results));
    all
}

fn remove_elsewhere<'r>(
    filesystem: Filesystem,
    case: Case,
    measured: &impl Fn(Filesystem, Case, Verb, bool, Tool) -> Option<&'r crate::results::Runs>,
) -> (String, Option<f64>) {
    let what = format!(
        "{} on {}, remove: of the time of the better of rm and rmz",
        case.letter(),
        filesystem.name()
    );
    let of_better = fastest(&[Tool::Rm, Tool::Rmz], |tool| {
        let runs = measured(filesystem, case, Verb::Remove, false, tool)?;
        Some((runs.medians()?.0, runs.ratios()?.0))
    });
    (what, of_better)
}

/// Of the tools, the second number of the one whose first is smallest.
fn fastest(tools: &[Tool], of: impl Fn(Tool) -> Option<(f64, f64)>) -> Option<f64> {
    let found = tools.iter().filter_map(|tool| of(*tool));
    found
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, ratio)| ratio)
}

fn extras(results: &Results) -> Vec<Target> {
    let of = |extra| {
        let found = results.extras.iter().find(|(known, _)| *known == extra);
        found.map(|(_, value)| *value)
    };
    let seconds = |what: &str, commit, extra| Target {
        what: what.into(),
        unit: "s",
        commit,
        reach: None,
        measured: of(extra),
    };
    vec![
        seconds(
            "a clone of a btrfs subvolume of any size",
            0.050,
            Extra::Snapshot,
        ),
        seconds("a removal is acknowledged", 0.050, Extra::Acknowledge),
        seconds(
            "a cancelled clone has stopped (99th percentile)",
            0.100,
            Extra::Cancel,
        ),
        Target {
            what: "peak memory at ten million files".into(),
            unit: "MiB",
            commit: 64.0,
            reach: None,
            measured: of(Extra::Memory).map(|kib| kib / 1024.0),
        },
    ]
}
