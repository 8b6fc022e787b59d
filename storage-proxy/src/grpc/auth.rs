//! Who may call.

use std::sync::Arc;

use tonic::{
    Request, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
    service::Interceptor,
};
use vfolder_common::{
    error::{Reason, Refusal},
    token::{SERVICE_HEADER, SharedSecret},
};

use crate::file::bearer;

/// Lets the manager pass.
#[derive(Clone, Debug)]
pub struct ServiceGate(pub Arc<SharedSecret>);

/// Lets bearers of a grant pass, and leaves the grant in the request's extensions.
#[derive(Clone, Debug)]
pub struct GrantGate(pub Arc<SharedSecret>);

impl Interceptor for ServiceGate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let token = header(request.metadata(), SERVICE_HEADER)?;
        self.0
            .verify_service_token(token)
            .map_err(|error| invalid(SERVICE_HEADER, &error))?;
        Ok(request)
    }
}

impl Interceptor for GrantGate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let grant = bearer(&self.0, |name| {
            request
                .metadata()
                .get(name)
                .map(AsciiMetadataValue::as_bytes)
        })?;
        request.extensions_mut().insert(grant);
        Ok(request)
    }
}

fn header<'a>(metadata: &'a MetadataMap, name: &str) -> Result<&'a str, Refusal> {
    metadata
        .get(name)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| {
            Refusal::new(
                Reason::GrantMissing,
                format!("no {name} metadata: users call the manager, which forwards to here"),
            )
        })
}

fn invalid(name: &str, error: &impl std::fmt::Display) -> Refusal {
    Refusal::new(
        Reason::GrantInvalid,
        format!("the {name} metadata is not accepted: {error}"),
    )
}
