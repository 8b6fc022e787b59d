//! What anybody may ask a storage-proxy: its health, and what it serves.

use std::{
    fs,
    process::{Command, Output},
};

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::proxy::{PROGRAM, Proxy};

const SERVED: [&str; 3] = [
    "grpc.health.v1.Health",
    "vfolder.storage.v1.StorageService",
    "vfolder.v1.FileService",
];

#[tokio::test]
async fn health_is_public_and_told_by_the_program_too() {
    let proxy = Proxy::start().await;
    let address = fs::read_to_string(proxy.dir.path().join("addr")).unwrap();
    let ask = |address: &str| -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .arg("health")
            .arg("--config")
            .arg(proxy.dir.path().join("config.toml"));
        command.args(["--address", address]).output().unwrap()
    };
    assert!(ask(&address).status.success());
    assert!(!ask("127.0.0.1:1").status.success());
}

#[tokio::test]
async fn each_service_tells_its_health() {
    let proxy = Proxy::start().await;
    for service in [SERVED[1], SERVED[2], ""] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = HealthClient::new(proxy.channel.clone())
            .check(request)
            .await
            .unwrap();
        assert_eq!(
            answer.into_inner().status().as_str_name(),
            "SERVING",
            "{service}"
        );
    }
}

#[tokio::test]
async fn reflection_of_both_versions_tells_what_is_served() {
    use v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    use v1alpha::{
        server_reflection_request::MessageRequest as OldRequest,
        server_reflection_response::MessageResponse as OldResponse,
    };
    let proxy = Proxy::start().await;
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(proxy.channel.clone());
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|one| one.name).collect();
    names.sort();
    assert_eq!(names[..3], SERVED);

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(OldRequest::FileContainingSymbol(SERVED[2].into())),
    };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(proxy.channel.clone());
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    assert!(
        matches!(answer, Some(OldResponse::FileDescriptorResponse(_))),
        "{answer:?}"
    );
}
