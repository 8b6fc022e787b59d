//! Runs a command with a private PostgreSQL cluster around it: `with-postgres cargo nextest run`.
//!
//! The command and its children find the cluster by the variable VFOLDER_TEST_POSTGRES and put their data where
//! VFOLDER_TEST_ROOT says. At the end, however the command ended, the cluster is stopped and all data removed.
//!
//! Without a command: prints the socket's folder and keeps the cluster until standard input closes.

use std::{
    env,
    error::Error,
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};
use vfolder_tests::{
    ROOT_VARIABLE, make_root,
    postgres::{Cluster, SOCKET_VARIABLE},
};

/// As shells do: a command killed by signal N ends with 128 + N.
const KILLED: i32 = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let outcome = match arguments.next() {
        Some(command) => wrap(command, arguments).await,
        None => keep().await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("with-postgres: {error}");
        ExitCode::FAILURE
    })
}

async fn wrap(
    command: OsString,
    arguments: impl Iterator<Item = OsString>,
) -> Result<ExitCode, Box<dyn Error>> {
    let place = make_root("run")?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    // The terminal sends it to the command as well; we stay until the command has ended.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let cluster = Cluster::start()?;
    let mut child = Command::new(&command)
        .args(arguments)
        .env(SOCKET_VARIABLE, cluster.socket_dir())
        .env(ROOT_VARIABLE, place.path())
        .spawn()
        .map_err(|e| format!("{}: {e}", command.display()))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pass_on = |what| pid.map(|pid| kill_process(pid, what));
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(exit_code(ended?)),
            _ = terminated.recv() => { pass_on(Signal::TERM); }
            _ = hung_up.recv() => { pass_on(Signal::HUP); }
            _ = interrupted.recv() => {}
        }
    }
}

async fn keep() -> Result<ExitCode, Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let cluster = Cluster::start()?;
    println!("{}", cluster.socket_dir().display());
    let closed = spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
    tokio::select! {
        _ = closed => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    drop(cluster);
    // Not by returning: a read of standard input that is still going on would be waited for.
    std::process::exit(0)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|s| KILLED + s))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
