//! The command line.

use std::{
    num::NonZero, path::PathBuf, process::ExitCode, thread::available_parallelism, time::Duration,
};

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use vfolder_common::{
    fault,
    server::client_tls,
    telemetry::{self, TelemetryConfig},
};

use crate::{config::Config, faults, offline, server, volume};

/// Whatever ends the program early, for its last words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const HEALTH_PATIENCE: Duration = Duration::from_secs(5);
/// Threads that still hang in the filesystem are not waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Owns volumes and does the filesystem work on the vfolders' trees.
#[derive(Debug, Parser)]
#[command(name = "storage-proxy", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the configured volumes until SIGTERM or SIGINT.
    Serve {
        /// The configuration.
        #[arg(long, value_name = "FILE", env = "VFOLDER_STORAGE_PROXY_CONFIG")]
        config: PathBuf,
        /// Writes the address there once it listens.
        #[arg(long, value_name = "PATH")]
        addr_file: Option<PathBuf>,
    },
    /// Cares for volumes.
    Volume {
        #[command(subcommand)]
        command: VolumeCommand,
    },
    /// Works on plain directory trees, as `serve` does on vfolders. Needs no configuration and no running server.
    Tree {
        #[command(subcommand)]
        command: offline::TreeCommand,
    },
    /// Succeeds if a running storage-proxy says that it serves.
    Health {
        /// The configuration that it was started with: tells its address, and the certificates where it uses TLS.
        #[arg(
            long,
            value_name = "FILE",
            env = "VFOLDER_STORAGE_PROXY_CONFIG",
            required_unless_present = "address"
        )]
        config: Option<PathBuf>,
        /// Its address, where the configuration doesn't tell: the port is 0, or it is reached by another name.
        #[arg(long, value_name = "http://HOST:PORT")]
        address: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum VolumeCommand {
    /// Makes an empty directory, or the root of an empty filesystem, a volume. Harmless to repeat.
    Init {
        /// What the configuration calls it.
        #[arg(long)]
        name: String,
        /// The directory; made if it is missing.
        path: PathBuf,
    },
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("storage-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve { config, addr_file } => {
            // One for each processor; the default is eight.
            vfolder_ioctl::arenas::keep_at_most(available_parallelism().map_or(1, NonZero::get));
            let config = Config::load(&config)?;
            telemetry::init(&config.log)?;
            fault::init(faults::POINTS)?;
            raise_file_limit();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .max_blocking_threads(server::blocking_threads(&config))
                .build()?;
            let served = runtime.block_on(server::serve(config, addr_file.as_deref()));
            runtime.shutdown_timeout(LAST_PATIENCE);
            served?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Volume {
            command: VolumeCommand::Init { name, path },
        } => {
            let description = volume::init(&path, &name)?;
            println!(
                "volume \"{}\" ({}) at {}",
                description.name,
                description.volume_id,
                path.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Tree { command } => {
            telemetry::init(&TelemetryConfig {
                filter: "warn".into(),
                ..TelemetryConfig::default()
            })?;
            fault::init(faults::POINTS)?;
            raise_file_limit();
            Ok(offline::run(&command))
        }
        Command::Health { config, address } => {
            let config = config.as_deref().map(Config::load).transpose()?;
            tokio::runtime::Runtime::new()?.block_on(health(config.as_ref(), address))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Each thread of a walk keeps some dozens of directories open, and the usual limit (1,024, for the sake of select(2)) is
/// soon reached by some walks at once.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "can't raise the limit of open files; many clones at once may reach it");
    }
}

async fn health(config: Option<&Config>, address: Option<String>) -> Result<(), Failure> {
    let tls = config.and_then(|c| c.tls.as_ref());
    let address = match (address, config) {
        (Some(address), _) => address,
        (None, Some(config)) => config.listen.to_string(),
        (None, None) => return Err("say --config or --address".into()),
    };
    let address = if address.contains("://") {
        address
    } else {
        format!(
            "{}://{address}",
            if tls.is_some() { "https" } else { "http" }
        )
    };
    let mut endpoint = Endpoint::try_from(address.clone())?.timeout(HEALTH_PATIENCE);
    if let Some(files) = tls {
        endpoint = endpoint.tls_config(client_tls(files)?)?;
    }
    let channel = endpoint.connect_timeout(HEALTH_PATIENCE).connect().await;
    let mut client =
        HealthClient::new(channel.map_err(|error| format!("no answer at {address}: {error}"))?);
    let answer = client
        .check(HealthCheckRequest::default())
        .await?
        .into_inner();
    match answer.status() {
        ServingStatus::Serving => {
            println!("serving");
            Ok(())
        }
        other => Err(format!("it answers, and says {}", other.as_str_name()).into()),
    }
}
