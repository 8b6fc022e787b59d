"""A Python client made from reflection alone: rich errors, compression, deadlines, streams."""

import os
import re

import grpc
import pytest

from conftest import bearer
from foreign import details_of

VFOLDERS = "vfolder.v1.VFolderService"


@pytest.fixture
def vfolder(api, alice, request):
    name = re.sub(r"\W", "-", request.node.name)[-60:].strip("-")
    return api.call(f"{VFOLDERS}/CreateVFolder", {"vfolder": {"name": name}}, metadata=alice)


def refused(api, method, request, **options):
    with pytest.raises(grpc.RpcError) as error:
        api.call(method, request, **options)
    return error.value


def reason(error):
    info = details_of(error)["ErrorInfo"]
    assert info.domain == "vfolder.v1"
    return info.reason


@pytest.mark.parametrize(
    ("token", "expected"),
    [("expired", "CREDENTIALS_EXPIRED"), ("forged", "CREDENTIALS_INVALID"), (None, "CREDENTIALS_MISSING")],
)
def test_bad_credentials_say_what_is_wrong_with_them(api, system, token, expected):
    metadata = bearer(system["tokens"][token]) if token else ()
    error = refused(api, f"{VFOLDERS}/ListVFolders", {}, metadata=metadata)
    assert (error.code(), reason(error)) == (grpc.StatusCode.UNAUTHENTICATED, expected)


def test_every_wrong_field_is_named(api, alice):
    error = refused(
        api,
        f"{VFOLDERS}/CreateVFolder",
        {"vfolder": {"name": ".hidden"}, "request_id": "no uuid"},
        metadata=alice,
    )
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    named = {violation.field for violation in details_of(error)["BadRequest"].field_violations}
    assert named == {"vfolder.name", "request_id"}


def test_a_status_that_needs_somebody_to_act_says_which_would_do(api, alice, vfolder):
    mount = api.call(
        "vfolder.v1.MountService/Mount", {"vfolder_id": vfolder.id, "session": "holder"}, metadata=alice
    )
    error = refused(api, f"{VFOLDERS}/DeleteVFolder", {"vfolder_id": vfolder.id}, metadata=alice)
    assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "VFOLDER_STATUS")
    violations = details_of(error)["PreconditionFailure"].violations
    assert violations
    assert any("holder" in f"{v.subject} {v.description}" for v in violations), violations
    released = {"vfolder_id": vfolder.id, "mount_id": mount.id}
    api.call("vfolder.v1.MountService/Unmount", released, metadata=alice)


def test_a_status_that_ends_by_itself_says_when_to_try_again(api, system, alice, vfolder):
    # Enough work that the rename comes while it is going on.
    fill(f"{system['volume']}/tree/{vfolder.id[-4:-2]}/{vfolder.id[-2:]}/{vfolder.id}")
    clone = {"source_id": vfolder.id, "vfolder": {"name": "a-slow-copy"}}
    operation = api.call(f"{VFOLDERS}/CloneVFolder", clone, metadata=alice)
    rename = {
        "vfolder": {"id": vfolder.id, "name": "renamed"},
        "update_mask": {"paths": ["name"]},
    }
    error = refused(api, f"{VFOLDERS}/UpdateVFolder", rename, metadata=alice)
    assert (error.code(), reason(error)) == (grpc.StatusCode.ABORTED, "VFOLDER_BUSY")
    details = details_of(error)
    assert details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() > 0
    assert operation.name in str(details)

    news = list(api.call("vfolder.v1.OperationService/Watch", {"name": operation.name}, metadata=alice))
    assert [n.done for n in news] == [False] * (len(news) - 1) + [True]
    assert api.status_name(api.unpack(news[-1].response)) == "READY"
    assert api.unpack(news[-1].metadata).progress.files_done > 0


def test_a_vfolder_of_another_user_looks_absent(api, system, vfolder):
    bob = bearer(system["tokens"]["bob"])
    error = refused(api, f"{VFOLDERS}/GetVFolder", {"vfolder_id": vfolder.id}, metadata=bob)
    absent = {"vfolder_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    really = refused(api, f"{VFOLDERS}/GetVFolder", absent, metadata=bob)
    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "VFOLDER_NOT_FOUND")
    assert (really.code(), reason(really)) == (error.code(), reason(error))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.NoCompression])
def test_a_compressed_request_passes_the_gate(api, alice, vfolder, compression):
    got = api.call(
        f"{VFOLDERS}/GetVFolder", {"vfolder_id": vfolder.id}, metadata=alice, compression=compression
    )
    assert got.name == vfolder.name
    # This one is forwarded to the storage-proxy.
    files = {"vfolder_id": vfolder.id, "path": ""}
    assert not api.call(
        "vfolder.v1.FileService/ListFiles", files, metadata=alice, compression=compression
    ).entries


def test_a_deflated_request_is_told_what_would_do(api, alice, vfolder):
    error = refused(
        api,
        f"{VFOLDERS}/GetVFolder",
        {"vfolder_id": vfolder.id},
        metadata=alice,
        compression=grpc.Compression.Deflate,
    )
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_a_stream_and_nothing_else(api, alice, vfolder):
    stream = api.call(f"{VFOLDERS}/Watch", {"vfolder_id": vfolder.id}, metadata=alice, timeout=1)
    assert next(stream).vfolder.id == vfolder.id
    with pytest.raises(grpc.RpcError) as error:
        next(stream)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert api.call(f"{VFOLDERS}/GetVFolder", {"vfolder_id": vfolder.id}, metadata=alice).id == vfolder.id


def test_a_watch_tells_each_change_with_its_event(api, alice, vfolder):
    stream = api.call(f"{VFOLDERS}/Watch", {"vfolder_id": vfolder.id}, metadata=alice)
    first = next(stream)
    assert (api.status_name(first.vfolder), first.HasField("event")) == ("READY", False)
    api.call(f"{VFOLDERS}/DeleteVFolder", {"vfolder_id": vfolder.id}, metadata=alice)
    second = next(stream)
    assert (api.status_name(second.vfolder), second.event.action) == ("TRASHED", "DeleteVFolder")
    stream.cancel()


def test_an_unknown_method_is_unimplemented(channel, alice):
    stub = channel.unary_unary("/vfolder.v1.VFolderService/NoSuchMethod")
    with pytest.raises(grpc.RpcError) as error:
        stub(b"", metadata=alice, timeout=10)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def fill(tree):
    for number in range(200):
        directory = f"{tree}/{number}"
        os.mkdir(directory)
        for name in range(100):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(b"x" * 100)
