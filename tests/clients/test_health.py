"""grpcio-health-checking against both services."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

MANAGER = [
    "",
    "vfolder.v1.VFolderService",
    "vfolder.v1.MountService",
    "vfolder.v1.FileService",
    "vfolder.v1.VolumeService",
    "vfolder.v1.OperationService",
    "google.longrunning.Operations",
]
STORAGE_PROXY = ["", "vfolder.storage.v1.StorageService", "vfolder.v1.FileService"]
CASES = [("manager", s) for s in MANAGER] + [("storage_proxy", s) for s in STORAGE_PROXY]


@pytest.mark.parametrize(("process", "service"), CASES)
def test_each_service_says_that_it_serves(system, process, service):
    with grpc.insecure_channel(system[process]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("process", ["manager", "storage_proxy"])
def test_an_unknown_service_is_not_found(system, process):
    with grpc.insecure_channel(system[process]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("process", ["manager", "storage_proxy"])
def test_health_can_be_watched(system, process):
    with grpc.insecure_channel(system[process]) as channel:
        stream = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(iter(stream)).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()
