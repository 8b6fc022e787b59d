//! Attends to a piece of work: shows how far it is, and stops it on SIGINT and SIGTERM.

use std::{
    io, panic,
    path::PathBuf,
    process, thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

use super::{INTERRUPTED, args::Shown, bar::Bar, error::OfflineError, report::Report};
use crate::tree::Control;

/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Waits for work in the main thread, while the work is done in another.
#[derive(Debug)]
pub struct Attendant {
    /// Tells what happens.
    pub report: Report,
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    bar: Bar,
    interrupted: bool,
}

impl Attendant {
    /// From now on signals don't kill the process.
    pub fn new(shown: &Shown) -> Result<Self, OfflineError> {
        let failed = |error| OfflineError::Process("listening for signals", error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(failed)
        };
        let (interrupt, terminate) = (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        );
        Ok(Self {
            report: Report::new(shown),
            runtime,
            interrupt,
            terminate,
            bar: Bar::new(shown),
            interrupted: false,
        })
    }

    /// Whether somebody sees the progress.
    pub fn is_watched(&self) -> bool {
        self.bar.is_shown()
    }

    /// Whether the work was to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Tells that the work has stopped because it was to, and answers that. Nothing is left of it, or what is has been told.
    pub fn stopped(&self) -> OfflineError {
        self.stopped_with(Vec::new())
    }

    /// As [`Attendant::stopped`], where there is something left.
    pub fn stopped_with(&self, left: Vec<PathBuf>) -> OfflineError {
        self.report.stopped();
        OfflineError::Interrupted { left }
    }

    /// Does `work`, which hears of a signal by `control`. A second signal ends the process.
    pub fn attend<T: Send>(
        &mut self,
        verb: &'static str,
        control: &Control,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, OfflineError> {
        let outcome = thread::scope(|scope| {
            let (done, ended) = oneshot::channel::<()>();
            let working = thread::Builder::new().name(verb.to_owned());
            let working = working.spawn_scoped(scope, move || {
                let outcome = work();
                // Dropped, too, when the work panics.
                drop(done);
                outcome
            })?;
            self.wait(verb, control, ended);
            Ok(working.join())
        });
        match outcome
            .map_err(|error: io::Error| OfflineError::Process("starting a thread", error))?
        {
            Ok(outcome) => Ok(outcome),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }

    fn wait(&mut self, verb: &str, control: &Control, mut ended: oneshot::Receiver<()>) {
        let Self {
            runtime,
            interrupt,
            terminate,
            bar,
            interrupted,
            ..
        } = self;
        let begun = Instant::now();
        runtime.block_on(async {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // A signal that came before the end is heard, even if both are found at once.
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = &mut ended => break,
                    _ = ticks.tick(), if bar.is_shown() => {
                        bar.draw(verb, control.progress(), begun.elapsed());
                        continue;
                    }
                }
                if *interrupted {
                    bar.clear();
                    process::exit(INTERRUPTED.into());
                }
                *interrupted = true;
                control.stop();
            }
        });
        bar.clear();
    }
}
