//! What reflection tells.

use tonic_reflection::server::Builder;
use vfolder_proto::DESCRIPTORS;

/// Of these services and of health. The descriptors have others too, which are not served.
pub fn reflection<'a>(services: impl IntoIterator<Item = &'a str>) -> Builder<'a> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(tonic_health::pb::health_server::SERVICE_NAME);
    services.into_iter().fold(builder, |builder, service| {
        builder.with_service_name(service)
    })
}
