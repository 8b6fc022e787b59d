"""Reflection, both versions, against both services."""

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from foreign import Api

SERVICES = {
    "manager": {
        "vfolder.v1.VFolderService",
        "vfolder.v1.MountService",
        "vfolder.v1.FileService",
        "vfolder.v1.VolumeService",
        "vfolder.v1.OperationService",
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
    },
    "storage_proxy": {
        "vfolder.storage.v1.StorageService",
        "vfolder.v1.FileService",
        "grpc.health.v1.Health",
    },
}
# The two versions differ in nothing but the package's name.
VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]


def ask(channel, version, **question):
    stub = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = stub(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=10)
    return next(iter(answers))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("process", SERVICES)
def test_all_services_are_listed(system, process, version):
    with grpc.insecure_channel(system[process]) as channel:
        answer = ask(channel, version, list_services="")
        listed = {service.name for service in answer.list_services_response.service}
        assert listed >= SERVICES[process]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("process", SERVICES)
def test_each_listed_service_can_be_described(system, process, version):
    with grpc.insecure_channel(system[process]) as channel:
        for service in ask(channel, version, list_services="").list_services_response.service:
            answer = ask(channel, version, file_containing_symbol=service.name)
            assert answer.file_descriptor_response.file_descriptor_proto, service.name


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_symbol_is_not_found(system, version):
    with grpc.insecure_channel(system["manager"]) as channel:
        # In the answer, as the protocol has it, or as the end of the stream.
        try:
            answer = ask(channel, version, file_containing_symbol="no.such.Symbol")
            code = answer.error_response.error_code
        except grpc.RpcError as error:
            code = error.code().value[0]
        assert code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("process", SERVICES)
def test_every_message_of_every_method_can_be_built(system, process):
    with grpc.insecure_channel(system[process]) as channel:
        api = Api(channel)
        for name in SERVICES[process]:
            for method in api.pool.FindServiceByName(name).methods:
                api.message(method.input_type.full_name)()
                api.message(method.output_type.full_name)()


def test_the_admission_of_a_method_can_be_read_by_anybody(api):
    method = api.pool.FindServiceByName("vfolder.v1.VFolderService").FindMethodByName("UpdateVFolder")
    options = method.GetOptions()
    assert "UPDATABLE" in str(options) or options.SerializeToString()
