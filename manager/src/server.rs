//! Putting the manager together: the layer stack, the services, what runs by itself, and the order in which it stops.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tonic::{
    codec::CompressionEncoding::{Gzip, Zstd},
    server::NamedService,
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use vfolder_common::{
    server::{self, ListenError},
    shutdown,
};
use vfolder_proto::{
    google::longrunning::operations_server::OperationsServer,
    v1::{
        file_service_server::FileServiceServer, grant_service_server::GrantServiceServer,
        mount_service_server::MountServiceServer, operation_service_server::OperationServiceServer,
        quota_service_server::QuotaServiceServer, tree_service_server::TreeServiceServer,
        v_folder_service_server::VFolderServiceServer, volume_service_server::VolumeServiceServer,
    },
};

use crate::{
    config::ManagerConfig,
    context::{Context, Settings},
    gate::{GateLayer, MAX_PUBLIC_MESSAGE, Rules, Verifier, auth::AuthError, rules::RulesError},
    grpc::{
        grants::Grants, mounts::Mounts, operations::Operations, quotas::Quotas, trees::Trees,
        vfolders::Vfolders, volumes::VolumesService,
    },
    operation::{leftovers, returns, sweep, worker},
    storage::{OpenError, Volumes},
    store::{
        Engine, Store, StoreConfig, StoreError,
        migrate::{self, Direction},
        sole,
    },
    vfolder::feed,
};

/// How long requests that are under way may take once the manager is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Requests under way on one connection: each holds memory before it is known whose it is.
const MAX_STREAMS: u32 = 1_000;
/// How often the manager looks whether its database answers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// Why the manager can't serve.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Storage(#[from] OpenError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("signals: {0}")]
    Signals(std::io::Error),
    #[error(
        "the database is behind by {0}: run `manager migrate` first, or start with `serve --migrate`"
    )]
    Unmigrated(String),
}

/// What stands behind the gate, by the services' names.
const SERVED: [&str; 12] = [
    VFolderServiceServer::<()>::NAME,
    MountServiceServer::<()>::NAME,
    VolumeServiceServer::<()>::NAME,
    OperationServiceServer::<()>::NAME,
    OperationsServer::<()>::NAME,
    FileServiceServer::<()>::NAME,
    QuotaServiceServer::<()>::NAME,
    GrantServiceServer::<()>::NAME,
    TreeServiceServer::<()>::NAME,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Every descriptor of what is served.
const DESCRIPTORS: [&[u8]; 4] = [
    vfolder_proto::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// The rules of all that is served. Every RPC has one, or the manager does not start.
pub fn rules() -> Result<Rules, RulesError> {
    Rules::load(&DESCRIPTORS, SERVED)
}

/// Serves until told to stop.
pub async fn serve(
    config: ManagerConfig,
    addr_file: Option<&Path>,
    migrate: bool,
) -> Result<(), ServeError> {
    server::check_clear(config.listen, config.tls.as_ref(), config.insecure)?;
    let rules = rules()?;
    let verifier = Verifier::open(&config.auth)?;
    let _sole = sole::take(&config.database.url)?;
    let ctx = open(&config).await?;
    prepare_tables(&config, ctx.store.engine(), migrate).await?;

    let (incoming, address) = server::bind(config.listen).await?;
    let limit = config.limits.max_message_bytes;
    macro_rules! ours {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .send_compressed(Gzip)
                .send_compressed(Zstd)
                .max_decoding_message_size(limit)
        };
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    let operations = Operations { ctx: ctx.clone() };
    let mut builder = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .initial_stream_window_size(server::STREAM_WINDOW)
        .initial_connection_window_size(server::CONNECTION_WINDOW)
        .max_frame_size(server::FRAME_SIZE)
        .max_concurrent_streams(MAX_STREAMS);
    if let Some(files) = &config.tls {
        builder = builder.tls_config(server::server_tls(files)?)?;
    }
    let router = builder
        // Outermost and only: nothing reaches a service but through the gate. FileService has no service here, since
        // the gate forwards it.
        .layer(GateLayer::new(rules, verifier, ctx.clone()))
        .add_service(ours!(VFolderServiceServer, Vfolders { ctx: ctx.clone() }))
        .add_service(ours!(MountServiceServer, Mounts { ctx: ctx.clone() }))
        .add_service(ours!(QuotaServiceServer, Quotas { ctx: ctx.clone() }))
        .add_service(ours!(GrantServiceServer, Grants { ctx: ctx.clone() }))
        .add_service(ours!(TreeServiceServer, Trees { ctx: ctx.clone() }))
        .add_service(ours!(
            VolumeServiceServer,
            VolumesService { ctx: ctx.clone() }
        ))
        .add_service(ours!(OperationServiceServer, operations.clone()))
        .add_service(ours!(OperationsServer, operations))
        .add_service(health_service)
        .add_service(
            reflection()?
                .build_v1()?
                .max_decoding_message_size(MAX_PUBLIC_MESSAGE),
        )
        .add_service(
            reflection()?
                .build_v1alpha()?
                .max_decoding_message_size(MAX_PUBLIC_MESSAGE),
        );

    let mut background = JoinSet::new();
    let (store, stop) = (ctx.store.clone(), ctx.stop.clone());
    background.spawn(async move { store.hear_others(stop).await });
    background.spawn(worker::work(ctx.clone(), ctx.stop.clone()));
    background.spawn(sweep::sweep(ctx.clone(), ctx.stop.clone()));
    background.spawn(sweep::tell_fences(ctx.clone(), ctx.stop.clone()));
    background.spawn(sweep::tell_quotas(ctx.clone(), ctx.stop.clone()));
    background.spawn(returns::watch(ctx.clone(), ctx.stop.clone()));
    background.spawn(leftovers::clear_volumes(ctx.clone(), ctx.stop.clone()));
    background.spawn(feed::place_events(ctx.clone(), ctx.stop.clone()));
    background.spawn(watch_health(ctx.clone(), health.clone()));

    if let Some(file) = addr_file {
        server::announce(file, address)?;
    }
    tracing::info!(%address, engine = ?ctx.store.engine(), "manager serves");
    let stop = ctx.stop.clone();
    let signalled = async {
        let heard = shutdown::signalled().await.map_err(ServeError::Signals);
        // First be seen as gone, then go.
        for service in SERVED.iter().chain(&[""]) {
            health
                .set_service_status(*service, ServingStatus::NotServing)
                .await;
        }
        stop.cancel();
        heard
    };
    let drained = CancellationToken::new();
    let serving = router.serve_with_incoming_shutdown(incoming, drained.clone().cancelled_owned());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => served?,
        heard = signalled => {
            heard?;
            drained.cancel();
            match time::timeout(DRAIN, serving).await {
                Ok(served) => served?,
                Err(_) => tracing::warn!("requests still under way after {DRAIN:?} are cut off"),
            }
        }
    }
    ctx.stop.cancel();
    while background.join_next().await.is_some() {}
    tracing::info!("manager stopped");
    Ok(())
}

/// The tables, the volumes and the settings of a configuration.
pub async fn open(config: &ManagerConfig) -> Result<Context, ServeError> {
    let volumes = Volumes::open(
        &config.storage,
        config.default_volume.clone(),
        config.insecure,
    )?;
    let store = Store::open(&StoreConfig {
        url: config.database.url.clone(),
        max_connections: config.database.max_connections,
        connect_timeout: config.database.connect_timeout,
    })
    .await?;
    Ok(Context {
        store,
        volumes: Arc::new(volumes),
        settings: Arc::new(Settings {
            trash: config.trash.clone(),
            mounts: config.mounts.clone(),
            grants: config.grants.clone(),
            operations: config.operations.clone(),
            limits: config.limits.clone(),
        }),
        stop: CancellationToken::new(),
    })
}

/// SQLite belongs to this process: migrated by itself. On PostgreSQL several managers meet: only when told to.
async fn prepare_tables(
    config: &ManagerConfig,
    engine: Engine,
    migrate: bool,
) -> Result<(), ServeError> {
    let direction = if migrate || engine == Engine::Sqlite {
        Direction::Up
    } else {
        Direction::Look
    };
    let report = migrate::migrate(&config.database.url, direction).await?;
    for name in &report.done {
        tracing::info!(migration = name, "migrated");
    }
    if report.pending.is_empty() {
        Ok(())
    } else {
        Err(ServeError::Unmigrated(report.pending.join(", ")))
    }
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>, ServeError> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(vfolder_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    // But for the two of reflection itself.
    for service in &SERVED[..SERVED.len() - 2] {
        builder = builder.with_service_name(*service);
    }
    Ok(builder)
}

/// Serving is what the database allows.
async fn watch_health(ctx: Context, health: HealthReporter) {
    let mut last = None;
    loop {
        let answers = async {
            let mut tx = ctx.store.read("health").await?;
            tx.ping().await
        };
        let status = match time::timeout(HEALTH_INTERVAL, answers).await {
            Ok(Ok(())) => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        };
        if last.replace(status) != Some(status) {
            tracing::info!(?status, "health");
            for service in SERVED.iter().chain(&[""]) {
                health.set_service_status(*service, status).await;
            }
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_served_rpc_has_a_rule() {
        let rules = rules().unwrap();
        let mut pool = DescriptorPool::new();
        for set in DESCRIPTORS {
            pool.decode_file_descriptor_set(set).unwrap();
        }
        let mut served = 0;
        for name in SERVED {
            for method in pool.get_service_by_name(name).unwrap().methods() {
                let path = format!("/{name}/{}", method.name());
                assert!(rules.get(&path).is_some(), "{path}");
                served += 1;
            }
        }
        assert_eq!(rules.iter().count(), served);
        // What is public says nothing about any vfolder.
        let public = rules.iter().filter(|r| r.public);
        assert!(public.map(|r| &r.path).all(|p| p.starts_with("/grpc.")));
    }
}
