//! The story of a vfolder, told on a real tree by two real services. Ends non-zero if any step did not go as told.

mod library;
mod progress;
mod refusal;
mod story;

use std::process::ExitCode;

use vfolder_tests::{Engine, System};

/// Why the demo stops: a step did not go as told.
type Told<T> = Result<T, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = tokio::select! {
        outcome = demo() => outcome,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    match outcome {
        Ok(()) => {
            println!("\nEverything went as told.");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("\nNOT as told: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Told<()> {
    chapter("Two services");
    let system = System::start(Engine::Sqlite).await;
    let (manager, storage) = (system.manager.address(), system.storage.address());
    say(format!(
        "The manager listens on {manager}. It owns the records and their statuses, here in SQLite."
    ));
    say(format!(
        "The storage-proxy listens on {storage}. It owns the volume and the trees on it."
    ));
    story::tell(&system).await
}

/// Begins a part of the story.
fn chapter(title: &str) {
    println!("\n== {title}");
}

/// Says something.
fn say(text: impl AsRef<str>) {
    println!("   {}", text.as_ref());
}

/// Goes on only if it is so.
fn check(holds: bool, what: impl Into<String>) -> Told<()> {
    if holds { Ok(()) } else { Err(what.into()) }
}
