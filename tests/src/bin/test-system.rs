//! A system for clients that are not written in Rust: prints one line of JSON that says where everything is, and keeps
//! it running until standard input closes.

use std::io;

use serde_json::json;
use tokio::task::spawn_blocking;
use vfolder_tests::{Engine, System, Tokens};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve()),
        Err(error) => eprintln!("test-system: {error}"),
    }
    // Not by returning: a read of standard input that is still going on would be waited for.
    std::process::exit(0);
}

async fn serve() {
    let engine = match std::env::args().nth(1).as_deref() {
        Some("postgres") => Engine::Postgres,
        _ => Engine::Sqlite,
    };
    let system = System::start(engine).await;
    let tokens = &system.tokens;
    let told = json!({
        "manager": system.manager.address().to_string(),
        "storage_proxy": system.storage.address().to_string(),
        "storage_secret_file": system.storage_secret_file(),
        "volume": system.volume(),
        "tokens": {
            "alice": tokens.user("alice"),
            "bob": tokens.user("bob"),
            "admin": tokens.admin("root"),
            "expired": tokens.expired("alice"),
            "forged": Tokens::forged("alice"),
        },
    });
    println!("{told}");
    let closed = spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
    tokio::select! {
        _ = closed => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    drop(system);
}
