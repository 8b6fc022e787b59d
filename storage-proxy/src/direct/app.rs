//! What is served there.

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, middleware::map_response, response::Response};
use tonic::{
    Status,
    codec::CompressionEncoding::{Gzip, Zstd},
    service::{Routes, interceptor::InterceptedService},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::MapRequestLayer;
use vfolder_common::{body::unbroken, token::SharedSecret};
use vfolder_proto::v1::file_service_server::{FileServiceServer, SERVICE_NAME};

use super::DirectSection;
use crate::{
    file::Files,
    grpc::{FilesService, GrantGate, reasoned, reflection},
    http,
};

/// The routes, and what their health is told by.
pub struct App {
    /// The routes.
    pub routes: Router,
    /// Health, of FileService only.
    pub health: HealthReporter,
}

/// FileService, health, reflection and plain HTTP.
///
/// # Errors
/// The API's descriptors are broken.
pub async fn app(
    files: Files,
    secret: Arc<SharedSecret>,
    section: &DirectSection,
) -> Result<App, tonic_reflection::server::Error> {
    let service = FileServiceServer::new(FilesService::new(files.clone()))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status(SERVICE_NAME, ServingStatus::Serving)
        .await;
    let grpc = Routes::new(InterceptedService::new(
        service,
        GrantGate(Arc::clone(&secret)),
    ))
    .add_service(health_service)
    .add_service(reflection([SERVICE_NAME]).build_v1()?)
    .add_service(reflection([SERVICE_NAME]).build_v1alpha()?);
    let grpc = grpc
        .into_axum_router()
        .layer(MapRequestLayer::new(|request: Request| {
            unbroken(request).map(Body::new)
        }))
        .layer(map_response(with_reason));
    let plain = http::Http::new(files, secret);
    Ok(App {
        routes: http::routes(plain, grpc, &section.cors_origins),
        health,
    })
}

/// An answer as it is, unless it is a refusal without a reason.
async fn with_reason(answer: Response) -> Response {
    match Status::from_header_map(answer.headers()).and_then(|status| reasoned(&status)) {
        Some(refusal) => Status::from(refusal).into_http::<Body>(),
        None => answer,
    }
}
