//! The command line.

mod doctor;
mod token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use vfolder_common::{config, fault, telemetry};

use crate::{
    config::ManagerConfig,
    faults, server,
    store::migrate::{self, Direction},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// VFolder's manager: owns the vfolder table, every status transition and the gate in front of every RPC.
#[derive(Parser)]
#[command(name = "manager", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API.
    Serve {
        #[command(flatten)]
        file: ConfigFile,
        /// Write the address that is listened on to this file, once it is.
        #[arg(long)]
        addr_file: Option<PathBuf>,
        /// Run pending migrations first (on SQLite that is always so).
        #[arg(long)]
        migrate: bool,
    },
    /// Run, undo or list migrations.
    Migrate {
        #[command(flatten)]
        file: ConfigFile,
        /// Undo the last so many.
        #[arg(long, conflicts_with = "status")]
        revert: Option<u32>,
        /// Only list what is pending.
        #[arg(long)]
        status: bool,
    },
    /// Check the invariants against the database and the volumes. Exit status: 0 clean, 1 violated, 2 not all checked.
    Doctor {
        #[command(flatten)]
        file: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// First mend what can be mended without a doubt: clear away leftovers, remove expired mounts, take statuses
        /// that nothing backs to ones that can be acted on. Destroys no tree.
        #[arg(long)]
        repair: bool,
    },
    /// Print a token signed with auth.hs256_secret_file, for trying things out.
    Token {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        claims: token::Claims,
    },
    /// Ask a running manager for its health. Exit status: 0 serving.
    Health {
        /// Where it is.
        #[arg(long, default_value = "http://127.0.0.1:7070")]
        address: String,
        /// For https: the authority that its certificate comes from.
        #[arg(long)]
        ca_file: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file. Variables named VFOLDER_MANAGER__<SECTION>__<KEY> win over it.
    #[arg(long, env = "VFOLDER_MANAGER_CONFIG")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<ManagerConfig, Failure> {
        let named = |e: String| format!("{}: {e}", self.config.display());
        let config: ManagerConfig =
            config::load(&self.config, "VFOLDER_MANAGER").map_err(|e| named(e.to_string()))?;
        config.check().map_err(named)?;
        Ok(config)
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("manager: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            eprintln!("  because: {error}");
            source = error.source();
        }
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve {
            file,
            addr_file,
            migrate,
        } => {
            let config = file.load()?;
            telemetry::init(&config.log)?;
            let points = faults::points();
            fault::init(&points.iter().map(String::as_str).collect::<Vec<_>>())?;
            server::serve(config, addr_file.as_deref(), migrate).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate {
            file,
            revert,
            status,
        } => {
            let direction = match (revert, status) {
                (Some(count), _) => Direction::Revert(count),
                (None, true) => Direction::Look,
                (None, false) => Direction::Up,
            };
            let report = migrate::migrate(&file.load()?.database.url, direction).await?;
            let verb = if revert.is_some() { "undone" } else { "run" };
            for name in &report.done {
                println!("{verb}: {name}");
            }
            for name in &report.pending {
                println!("pending: {name}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { file, json, repair } => doctor::run(&file.load()?, json, repair).await,
        Command::Token { file, claims } => {
            println!("{}", token::sign(&file.load()?.auth, &claims)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Health { address, ca_file } => health(address, ca_file).await,
    }
}

async fn health(address: String, ca_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let mut endpoint = Endpoint::from_shared(address)?;
    if let Some(file) = ca_file {
        let pem = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        endpoint = endpoint.tls_config(tls)?;
    }
    let channel = endpoint.connect().await?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await?
        .into_inner();
    println!("{}", answer.status().as_str_name());
    Ok(if answer.status() == ServingStatus::Serving {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
