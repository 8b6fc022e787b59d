//! One case on one filesystem: ours and each peer in turns, clone and remove, with and without the final sync.

use std::path::{Path, PathBuf};

use crate::{
    Told,
    cases::Case,
    image::{Filesystem, Image, run as command},
    measure::{Outcome, Sample, ask, measure},
    oracle,
    results::{Key, Results, Verb},
    settings::Settings,
    tools::Tool,
};

/// A copy that takes this much more room than its source has lost the holes.
const FILLED: u64 = 2;

/// Measures it.
///
/// # Errors
/// If it can't be measured. What a peer can't do is a result.
pub fn run(
    settings: &Settings,
    filesystem: Filesystem,
    case: Case,
    results: &mut Results,
) -> Told<()> {
    let peers = missing(settings, filesystem, case, results);
    if peers.is_empty() && !settings.peers.is_empty() {
        return Ok(());
    }
    eprintln!("{}: case {}", filesystem.name(), case.letter());
    let image = Image::new(filesystem, &settings.place, case.room(settings.scale))?;
    let source = image.path().join("source");
    case.build(&source, settings.scale)?;
    let mut matrix = Matrix {
        settings,
        peers,
        filesystem,
        case,
        copy: image.path().join("copy"),
        source,
        image,
        results,
    };
    // Not counted: what is touched for the first time costs whoever comes first.
    matrix.clear()?;
    matrix.make_copy()?;
    matrix.clear()?;
    for sync in [false, true] {
        for verb in [Verb::Clone, Verb::Remove] {
            for round in 0..settings.rounds {
                matrix.round(verb, sync, round)?;
            }
        }
    }
    Ok(())
}

/// The peers that were not measured there as often as wanted.
fn missing(
    settings: &Settings,
    filesystem: Filesystem,
    case: Case,
    results: &Results,
) -> Vec<Tool> {
    let is_measured = |tool| {
        let all = [Verb::Clone, Verb::Remove].map(|verb| [(verb, false), (verb, true)]);
        all.into_iter().flatten().all(|(verb, sync)| {
            let key = Key {
                filesystem,
                case,
                verb,
                sync,
                tool,
            };
            let runs = results.get(key);
            !takes_part(case, verb, sync, tool)
                || runs.is_some_and(|runs| !runs.goes_on() || runs.samples.len() >= settings.rounds)
        })
    };
    let peers = settings.peers.iter().copied();
    peers.filter(|tool| !is_measured(*tool)).collect()
}

fn takes_part(case: Case, verb: Verb, sync: bool, tool: Tool) -> bool {
    match (verb, tool) {
        (_, Tool::Bound) => case == Case::Small && !sync,
        (Verb::Clone, tool) => tool.clones(),
        (Verb::Remove, tool) => tool.removes(),
    }
}

struct Matrix<'a> {
    settings: &'a Settings,
    peers: Vec<Tool>,
    filesystem: Filesystem,
    case: Case,
    source: PathBuf,
    copy: PathBuf,
    image: Image,
    results: &'a mut Results,
}

impl Matrix<'_> {
    fn key(&self, verb: Verb, sync: bool, tool: Tool) -> Key {
        Key {
            filesystem: self.filesystem,
            case: self.case,
            verb,
            sync,
            tool,
        }
    }

    /// Each peer once, with a run of ours right before or after it: of every two peers one comes before ours and one
    /// after, and the other way round in the next round.
    fn round(&mut self, verb: Verb, sync: bool, round: usize) -> Told<()> {
        let peers = self.peers.iter().copied();
        let peers = peers.filter(|tool| takes_part(self.case, verb, sync, *tool));
        let peers: Vec<Tool> = peers.collect();
        for pair in peers.chunks(2) {
            let (first, second) = match pair {
                [one] if round.is_multiple_of(2) => (Some(*one), None),
                [one] => (None, Some(*one)),
                [one, other] if round.is_multiple_of(2) => (Some(*one), Some(*other)),
                [one, other] => (Some(*other), Some(*one)),
                _ => (None, None),
            };
            let before = self.run_peer(verb, sync, first)?;
            let ours = self.run_ours(verb, sync)?;
            let after = self.run_peer(verb, sync, second)?;
            for (tool, outcome) in before.into_iter().chain(after) {
                let key = self.key(verb, sync, tool);
                self.results.runs(key).take(outcome, ours);
            }
        }
        if peers.is_empty() {
            self.run_ours(verb, sync)?;
        }
        Ok(())
    }

    fn run_ours(&mut self, verb: Verb, sync: bool) -> Told<Option<Sample>> {
        let outcome = self.run_tool(verb, sync, Tool::Ours)?;
        let sample = match &outcome {
            Outcome::Done(sample) => Some(*sample),
            Outcome::Failed(said) => return Err(format!("ours fails: {said}")),
            Outcome::Hung(after) => return Err(format!("ours hangs: stopped after {after:?}")),
        };
        let key = self.key(verb, sync, Tool::Ours);
        self.results.runs(key).take(outcome, None);
        Ok(sample)
    }

    fn run_peer(
        &mut self,
        verb: Verb,
        sync: bool,
        tool: Option<Tool>,
    ) -> Told<Option<(Tool, Outcome)>> {
        let Some(tool) = tool else {
            return Ok(None);
        };
        let key = self.key(verb, sync, tool);
        if !self.results.runs(key).goes_on() {
            return Ok(None);
        }
        Ok(Some((tool, self.run_tool(verb, sync, tool)?)))
    }

    fn run_tool(&mut self, verb: Verb, sync: bool, tool: Tool) -> Told<Outcome> {
        if verb == Verb::Remove {
            self.make_copy()?;
        }
        self.image.settle()?;
        let (settings, patience) = (self.settings, self.settings.timeout);
        let outcome = match (verb, tool) {
            (Verb::Clone, Tool::Bound) => ask(&["bound", "create", text(&self.source)?], patience),
            (Verb::Remove, Tool::Bound) => ask(&["bound", "remove", text(&self.copy)?], patience),
            (Verb::Clone, tool) => {
                let paths = (&*self.source, &*self.copy);
                measure(
                    &tool.clone_steps(settings, self.case, paths, sync),
                    patience,
                )
            }
            (Verb::Remove, tool) => {
                measure(&tool.remove_steps(settings, &self.copy, sync), patience)
            }
        }?;
        if verb == Verb::Clone && tool != Tool::Bound && matches!(outcome, Outcome::Done(_)) {
            self.look_at_copy(self.key(verb, sync, tool))?;
        }
        self.clear()?;
        Ok(match outcome {
            // Where the image was is nobody's to know.
            Outcome::Failed(said) => {
                let place = format!("{}/", self.image.path().display());
                Outcome::Failed(said.replace(&place, ""))
            }
            outcome => outcome,
        })
    }

    /// Says what the copy is like, once for each tool.
    fn look_at_copy(&mut self, key: Key) -> Told<()> {
        let ours = key.tool == Tool::Ours;
        if !self.results.runs(key).samples.is_empty() || (key.sync && !ours) {
            return Ok(());
        }
        let found = oracle::differences(&self.source, &self.copy, ours)?;
        let filled = oracle::on_disk(&self.copy)? > oracle::on_disk(&self.source)? * FILLED;
        let mut notes = Vec::new();
        if found.count > 0 {
            notes.push(format!("{} entries differ", found.count));
        }
        if filled {
            notes.push("fills the holes".into());
        }
        if notes.is_empty() {
            return Ok(());
        }
        let notes = notes.join(", ");
        eprintln!("  {}: {notes}: {:?}", key.tool.key(), found.first);
        if ours {
            let place = format!("{} {}", self.filesystem.name(), self.case.letter());
            self.results
                .not_a_copy(format!("{place}: {notes} ({:?})", found.first));
        }
        self.results.runs(key).note = Some(notes);
        Ok(())
    }

    /// A tree to be removed, whoever removes it: made by a tool that is measured at that by nobody.
    fn make_copy(&self) -> Told<()> {
        command(
            std::process::Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .args([&self.source, &self.copy]),
        )
    }

    fn clear(&self) -> Told<()> {
        let paths = [self.copy.clone(), self.source.with_extension("bound")];
        paths
            .iter()
            .filter(|path| path.exists())
            .try_for_each(|path| command(std::process::Command::new("rm").arg("-rf").arg(path)))?;
        self.image.settle()
    }
}

fn text(path: &Path) -> Told<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()))
}
