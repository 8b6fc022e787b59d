"""A client that knows nothing of VFolder but what reflection tells it."""

import shutil
import sys
from pathlib import Path

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401  (its messages have to be known to unpack details)
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

DETAILS = {
    name: getattr(error_details_pb2, name)
    for name in ("ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo", "ResourceInfo")
}


def grpcurl_path():
    beside_python = Path(sys.executable).parent / "grpcurl"
    return str(beside_python) if beside_python.exists() else shutil.which("grpcurl")


class Api:
    """Calls any method of a server with dynamic messages."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, full_name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))

    def unpack(self, any_message):
        """An Any, as the message of the type that it names."""
        unpacked = self.message(any_message.TypeName())()
        assert any_message.Unpack(unpacked)
        return unpacked

    def call(self, method, request, **options):
        """`method` is "package.Service/Method", `request` a message or a dict of its fields; of a stream, many of them."""
        service, name = method.split("/")
        described = self.pool.FindServiceByName(service).FindMethodByName(name)
        kinds = ["stream" if streams else "unary" for streams in (described.client_streaming, described.server_streaming)]
        stub = getattr(self.channel, "_".join(kinds))(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message(described.output_type.full_name).FromString,
        )

        def message(fields):
            if isinstance(fields, Message):
                return fields
            return self.message(described.input_type.full_name)(**fields)

        request = map(message, request) if described.client_streaming else message(request)
        options.setdefault("timeout", 30)
        return stub(request, **options)

    def status_name(self, vfolder):
        return self.pool.FindEnumTypeByName("vfolder.v1.VFolderStatus").values_by_number[vfolder.status].name


def details_of(error):
    """The google.rpc details of an RpcError, by the names of their types."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    details = {}
    for packed in status.details:
        name = packed.TypeName().removeprefix("google.rpc.")
        details[name] = DETAILS[name]()
        assert packed.Unpack(details[name])
    return details
