//! The process that serves: opens the volumes, listens, and stops in good order.

use std::{path::Path, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codec::CompressionEncoding::{Gzip, Zstd},
    service::interceptor::InterceptedService,
    transport::Server,
};
use tonic_health::ServingStatus;
use tower::util::MapRequestLayer;
use uuid::Uuid;
use vfolder_common::{
    body::unbroken,
    server::{
        CONNECTION_WINDOW, FRAME_SIZE, ListenError, STREAM_WINDOW, announce, bind, check_clear,
        server_tls,
    },
    shutdown,
    token::SharedSecret,
};
use vfolder_proto::{
    storage::storage_service_server::{self, StorageServiceServer},
    v1::file_service_server::{self, FileServiceServer},
};

use crate::{
    config::Config,
    direct::{self, Direct, DirectError},
    file::{Files, SYNCS},
    grpc::{FilesService, GrantGate, ServiceGate, Storage, reflection},
    task::{FENCES, LOOKS, Tasks, VolumeConfig},
    volume::{Holder, NewTrees, OpenError, Volume},
};

/// How long requests may take to end after the signal.
const GRACE: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What is served, but for health and reflection themselves.
const SERVICES: [&str; 2] = [
    storage_service_server::SERVICE_NAME,
    file_service_server::SERVICE_NAME,
];

/// Why the process can't serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Listening.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Listening for bearers of grants.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// The secret.
    #[error("secret_file: {0}")]
    Secret(std::io::Error),
    /// A volume is somebody else's.
    #[error(transparent)]
    Volume(#[from] OpenError),
    /// Reflection.
    #[error("the API's descriptors are broken: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Serving.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Signals.
    #[error("can't wait for signals: {0}")]
    Signal(std::io::Error),
}

/// The largest message. Above any limit that a manager is configured with.
const MAX_MESSAGE: usize = 64 << 20;

/// Serves until SIGTERM or SIGINT. Writes the address to `addr_file` once it listens.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config, addr_file: Option<&Path>) -> Result<(), ServeError> {
    // Beyond loopback, TLS alone is not enough: the manager has to show a certificate too.
    let mutual = config.tls.as_ref().filter(|t| t.ca_file.is_some());
    check_clear(config.listen, mutual, config.insecure)?;
    let secret =
        Arc::new(SharedSecret::from_file(&config.secret_file).map_err(ServeError::Secret)?);
    let instance_id = Uuid::new_v4();
    let tasks = Tasks::new(open_volumes(&config, instance_id)?);

    let all_files = Files::with_limits(tasks.clone(), config.transfers.into());
    all_files.read_uploads().await;
    let direct = match config.direct.clone() {
        Some(section) => {
            let app = direct::app(all_files.clone(), Arc::clone(&secret), &section).await?;
            Some((
                Direct::bind(section, config.transfers.idle_timeout).await?,
                app,
            ))
        }
        None => None,
    };

    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE);
    if let Some(files) = &config.tls {
        server = server.tls_config(server_tls(files)?)?;
    }
    let storage = Storage::new(tasks.clone(), Arc::clone(&secret), instance_id);
    let direct_url = direct.as_ref().map_or("", |(direct, _)| direct.url());
    let storage = StorageServiceServer::new(storage.with_direct_url(direct_url));
    let storage = storage.accept_compressed(Gzip).accept_compressed(Zstd);
    // Users' messages arrive as they sent them.
    let files = FileServiceServer::new(FilesService::new(all_files.clone()))
        // The manager's limit is the one that users meet.
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in SERVICES {
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let router = server
        .layer(MapRequestLayer::new(|request| {
            unbroken(request).map(Body::new)
        }))
        .add_service(InterceptedService::new(
            storage,
            ServiceGate(Arc::clone(&secret)),
        ))
        .add_service(InterceptedService::new(files, GrantGate(secret)))
        .add_service(health_service)
        .add_service(reflection(SERVICES).build_v1()?)
        .add_service(reflection(SERVICES).build_v1alpha()?);

    let (incoming, address) = bind(config.listen).await?;
    if let Some(file) = addr_file {
        announce(file, address)?;
    }
    tracing::info!(%address, instance = %instance_id, "listening");
    let stop = CancellationToken::new();
    tokio::spawn(all_files.sweep_uploads(stop.clone()));
    let serving = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let (direct, direct_health) = direct
        .map(|(d, app)| (d.serve(app.routes, stop.clone()), app.health))
        .unzip();
    let serving = async {
        let direct = async {
            if let Some(direct) = direct {
                direct.await;
            }
        };
        let main = async {
            let ended = serving.await;
            stop.cancel();
            ended
        };
        tokio::join!(main, direct).0
    };
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        signal = shutdown::signalled() => signal.map_err(ServeError::Signal)?,
    }

    for service in SERVICES {
        health
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
    if let Some(health) = direct_health {
        health
            .set_service_status(file_service_server::SERVICE_NAME, ServingStatus::NotServing)
            .await;
    }
    stop.cancel();
    let stopping = async {
        tokio::join!(tasks.suspend(), async {
            timeout(GRACE, &mut serving).await
        })
    };
    match stopping.await {
        ((), Ok(ended)) => ended?,
        ((), Err(_)) => tracing::warn!("some connections did not end in time"),
    }
    Ok(())
}

/// Enough threads that no volume, with all its threads hanging, takes one from the others. They are made when needed.
#[must_use]
pub fn blocking_threads(config: &Config) -> usize {
    const OTHERS: usize = 64;
    const MOST: usize = 16_384;
    let of_one = |volume: &crate::config::VolumeSection| {
        volume.max_tasks.saturating_add(LOOKS + FENCES + SYNCS)
    };
    let all = config.volumes.iter().map(of_one);
    all.fold(OTHERS, usize::saturating_add).min(MOST)
}

fn open_volumes(config: &Config, instance_id: Uuid) -> Result<Vec<VolumeConfig>, OpenError> {
    let holder = Holder::this(instance_id);
    let open = |section: &crate::config::VolumeSection| {
        let volume =
            Volume::new(&section.name, &section.path, holder.clone()).with_new_trees(NewTrees {
                uid: section.tree_uid,
                gid: section.tree_gid,
                mode: section.tree_mode,
            });
        let volume = volume.with_id(section.id);
        volume.open_at_start()?;
        Ok(VolumeConfig {
            volume: Arc::new(volume),
            max_tasks: section.max_tasks,
            reclaim_duty: section.reclaim_duty,
        })
    };
    config.volumes.iter().map(open).collect()
}
