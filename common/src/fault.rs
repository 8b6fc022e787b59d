//! Fault points: places where a test makes a process die, stop or see an error.
//!
//! Around each durable step of an operation stands a [`point`]. In a debug build, the environment variable
//! `VFOLDER_FAULTS` says what happens there; in a release build a point is nothing.
//!
//! ```text
//! VFOLDER_FAULTS="clone.copied=kill@2,journal.write=ENOSPC"
//! ```
//!
//! Comma-separated `name=action[@n]`. Actions: `kill` (SIGKILL to itself), `stop` (SIGSTOP to itself), `pause` (the
//! thread goes on after a second, so that others can be faster), `hold` (it goes on when the file exists that the variable
//! `VFOLDER_RELEASE` names; without that variable, never), `jitter` (it goes on after up to half a millisecond, another time
//! at each passage), or the name of an error that the point then returns: `EIO`, `ENOSPC`, `EDQUOT`, `EROFS`, `ESTALE`,
//! `EMFILE`, `EINVAL`. With `@n` only the n-th passage through the point in the process's life is hit; without, every one. A
//! name that isn't in the list given to [`init`] is refused at the start, so that a test can't wait for a point that no
//! longer exists.

/// Does what the environment says is to happen at `name`; mostly nothing.
///
/// # Errors
/// The error that the environment asks for.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// The point on one side of something durable that has a name of its own: `<what>.before` or `<what>.after`.
///
/// # Errors
/// The error that the environment asks for.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn beside(_what: &str, _side: Side) -> std::io::Result<()> {
    Ok(())
}

/// Which side of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It has not happened.
    Before,
    /// It has.
    After,
}

impl Side {
    /// As it ends a point's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// Reads the environment.
///
/// # Errors
/// Never: there are no fault points in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn init(_points: &[&str]) -> std::io::Result<()> {
    Ok(())
}

/// Does what [`init`] does with `text` in place of the environment, for a test that is the process itself.
///
/// # Errors
/// Never: there are no fault points in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn arm(_text: &str, _points: &[&str]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use armed::{arm, beside, init, point};

#[cfg(debug_assertions)]
mod armed {
    use std::{
        collections::HashMap,
        env, io,
        path::PathBuf,
        str::FromStr,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
        thread,
        time::Duration,
    };

    use rustix::process::{Signal, getpid, kill_process};

    const VARIABLE: &str = "VFOLDER_FAULTS";
    const RELEASE: &str = "VFOLDER_RELEASE";
    const PAUSE: Duration = Duration::from_secs(1);
    const JITTER: Duration = Duration::from_micros(500);
    const SETTLE: Duration = Duration::from_millis(300);
    /// How often one who is held looks whether it is released.
    const LOOK: Duration = Duration::from_millis(2);

    static FAULTS: OnceLock<HashMap<String, Fault>> = OnceLock::new();

    #[derive(Debug)]
    struct Fault {
        action: Action,
        /// 0: every passage.
        passage: u64,
        passed: AtomicU64,
    }

    #[derive(Clone, Copy, Debug)]
    enum Action {
        Signal(Signal),
        Pause,
        Hold,
        Jitter,
        Error(rustix::io::Errno),
    }

    /// Reads the environment.
    ///
    /// # Errors
    /// What in it can't be understood, or names none of `points`.
    pub fn init(points: &[&str]) -> io::Result<()> {
        arm(&env::var(VARIABLE).unwrap_or_default(), points)
    }

    /// Does what [`init`] does with `text` in place of the environment, for a test that is the process itself.
    ///
    /// # Errors
    /// What in it can't be understood, or names none of `points`.
    pub fn arm(text: &str, points: &[&str]) -> io::Result<()> {
        let faults = parse(text, points).map_err(|why| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{VARIABLE}: {why}"))
        })?;
        if !faults.is_empty() {
            tracing::warn!(faults = text, "fault points are armed");
        }
        // A second call, as tests in one process make, changes nothing.
        let _ = FAULTS.set(faults);
        Ok(())
    }

    /// Does what the environment says is to happen at `name`; mostly nothing.
    ///
    /// # Errors
    /// The error that the environment asks for.
    pub fn point(name: &'static str) -> io::Result<()> {
        pass(name)
    }

    /// The point on one side of something durable that has a name of its own: `<what>.before` or `<what>.after`.
    ///
    /// # Errors
    /// The error that the environment asks for.
    pub fn beside(what: &str, side: super::Side) -> io::Result<()> {
        if FAULTS.get().is_none_or(HashMap::is_empty) {
            return Ok(());
        }
        pass(&format!("{what}.{}", side.as_str()))
    }

    fn pass(name: &str) -> io::Result<()> {
        let Some(fault) = FAULTS.get().and_then(|faults| faults.get(name)) else {
            return Ok(());
        };
        let passage = fault.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if fault.passage != 0 && fault.passage != passage {
            return Ok(());
        }
        if !matches!(fault.action, Action::Jitter) {
            tracing::warn!(point = name, passage, action = ?fault.action, "fault");
        }
        match fault.action {
            Action::Signal(signal) => {
                kill_process(getpid(), signal)?;
                // A stop is taken by any thread, and this one would go on until that has run.
                thread::sleep(SETTLE);
                Ok(())
            }
            Action::Pause => {
                thread::sleep(PAUSE);
                Ok(())
            }
            Action::Hold => {
                let release = env::var_os(RELEASE).map(PathBuf::from);
                while !release.as_ref().is_some_and(|file| file.exists()) {
                    thread::sleep(LOOK);
                }
                Ok(())
            }
            Action::Jitter => {
                // Fibonacci hashing: neighbours are far from each other.
                let part = passage.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
                thread::sleep(JITTER * u32::try_from(part).unwrap_or_default() / 256);
                Ok(())
            }
            Action::Error(errno) => Err(errno.into()),
        }
    }

    fn parse(text: &str, points: &[&str]) -> Result<HashMap<String, Fault>, String> {
        let mut faults = HashMap::new();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let (name, what) = item
                .split_once('=')
                .ok_or_else(|| format!("\"{item}\" is not name=action[@n]"))?;
            if !points.contains(&name) {
                return Err(format!(
                    "there is no point \"{name}\"; there are: {}",
                    points.join(", ")
                ));
            }
            faults.insert(name.to_owned(), what.parse()?);
        }
        Ok(faults)
    }

    impl FromStr for Fault {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            use rustix::io::Errno;
            let (action, passage) = text.split_once('@').unwrap_or((text, "0"));
            Ok(Self {
                action: match action {
                    "kill" => Action::Signal(Signal::KILL),
                    "stop" => Action::Signal(Signal::STOP),
                    "pause" => Action::Pause,
                    "hold" => Action::Hold,
                    "jitter" => Action::Jitter,
                    "EIO" => Action::Error(Errno::IO),
                    "ENOSPC" => Action::Error(Errno::NOSPC),
                    "EDQUOT" => Action::Error(Errno::DQUOT),
                    "EINVAL" => Action::Error(Errno::INVAL),
                    "EROFS" => Action::Error(Errno::ROFS),
                    "ESTALE" => Action::Error(Errno::STALE),
                    "EMFILE" => Action::Error(Errno::MFILE),
                    other => return Err(format!("no action \"{other}\"")),
                },
                passage: passage
                    .parse()
                    .map_err(|_| format!("\"{passage}\" is no number of a passage"))?,
                passed: AtomicU64::new(0),
            })
        }
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used, reason = "tests")]

        use super::*;

        #[test]
        fn a_point_that_does_not_exist_can_not_be_armed() {
            let points = ["clone.copied"];
            assert!(parse("", &points).unwrap().is_empty());
            let armed = parse("clone.copied=EIO@2", &points).unwrap();
            assert_eq!(armed["clone.copied"].passage, 2);
            for wrong in [
                "clone.copied",
                "clone.gone=kill",
                "clone.copied=burn",
                "clone.copied=kill@x",
            ] {
                assert!(parse(wrong, &points).is_err(), "{wrong}");
            }
        }
    }
}
