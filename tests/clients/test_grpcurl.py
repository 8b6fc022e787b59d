"""grpcurl 1.8.6, which speaks only the older reflection, against both services."""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from pathlib import Path

import pytest

from foreign import grpcurl_path

VFOLDERS = "vfolder.v1.VFolderService"


@pytest.fixture
def call(system, grpcurl):
    def call(method, request):
        token = f"authorization: Bearer {system['tokens']['alice']}"
        return json.loads(grpcurl("-H", token, "-d", json.dumps(request), system["manager"], method))

    return call


@pytest.mark.parametrize(
    ("process", "services"),
    [
        ("manager", ["vfolder.v1.VFolderService", "google.longrunning.Operations", "grpc.health.v1.Health"]),
        ("storage_proxy", ["vfolder.storage.v1.StorageService", "vfolder.v1.FileService"]),
    ],
)
def test_services_are_listed_and_described(system, grpcurl, process, services):
    listed = grpcurl(system[process], "list").split()
    for service in services:
        assert service in listed
        assert f"service {service.split('.')[-1]}" in grpcurl(system[process], "describe", service)
    for service in listed:
        for method in grpcurl(system[process], "list", service).split():
            assert "rpc" in grpcurl(system[process], "describe", method)


def test_a_message_is_described_with_its_fields(system, grpcurl):
    described = grpcurl(system["manager"], "describe", "vfolder.v1.VFolder")
    for field in ("string id = 1", "string name = 2", "VFolderStatus status = 5"):
        assert field in described


def test_the_main_job_from_creation_to_purge(call):
    made = call(f"{VFOLDERS}/CreateVFolder", {"vfolder": {"name": "by-grpcurl", "labels": {"k": "v"}}})
    assert (made["status"], made["owner"], made["labels"]) == ("READY", {"user": "alice"}, {"k": "v"})
    vfolder = {"vfolderId": made["id"]}

    directory = call("vfolder.v1.FileService/CreateDirectory", vfolder | {"path": "a/b", "parents": True})
    assert directory["name"] == "b"
    files = call("vfolder.v1.FileService/ListFiles", vfolder)
    assert [(f["name"], f["type"]) for f in files["entries"]] == [("a", "DIRECTORY")]

    started = call(f"{VFOLDERS}/CloneVFolder", {"sourceId": made["id"], "vfolder": {"name": "its-copy"}})
    operation = {"name": started["name"]}
    ended = call("google.longrunning.Operations/WaitOperation", operation | {"timeout": "30s"})
    assert ended["done"] is True
    assert ended["response"]["@type"] == "type.googleapis.com/vfolder.v1.VFolder"
    assert (ended["response"]["name"], ended["response"]["status"]) == ("its-copy", "READY")
    assert ended["metadata"]["state"] == "SUCCEEDED"
    copied = call("vfolder.v1.FileService/ListFiles", {"vfolderId": ended["response"]["id"], "path": "a"})
    assert [f["name"] for f in copied["entries"]] == ["b"]

    mount = call("vfolder.v1.MountService/Mount", vfolder | {"session": "s", "mode": "READ_WRITE"})
    explained = call(f"{VFOLDERS}/Explain", vfolder)
    assert [m["id"] for m in explained["mounts"]] == [mount["id"]]
    call("vfolder.v1.MountService/Unmount", vfolder | {"mountId": mount["id"]})

    assert call(f"{VFOLDERS}/DeleteVFolder", vfolder)["status"] == "TRASHED"
    assert call(f"{VFOLDERS}/RestoreVFolder", vfolder)["status"] == "READY"
    assert "purgeTime" in call(f"{VFOLDERS}/DeleteVFolder", vfolder)
    purge = call(f"{VFOLDERS}/PurgeVFolder", vfolder)
    ended = call("google.longrunning.Operations/WaitOperation", {"name": purge["name"]})
    assert ended["response"]["@type"] == "type.googleapis.com/vfolder.v1.PurgeVFolderResult"
    gone = call(f"{VFOLDERS}/GetVFolder", vfolder | {"showDeleted": True})
    assert gone["status"] == "DELETED"

    events = call(f"{VFOLDERS}/ListEvents", vfolder)["events"]
    assert [int(e["sequence"]) for e in events] == sorted(int(e["sequence"]) for e in events)
    assert events[-1]["toStatus"] == "DELETED"


def test_watching_an_operation_ends_with_the_operation(system, grpcurl, call):
    made = call(f"{VFOLDERS}/CreateVFolder", {"vfolder": {"name": "watched-by-grpcurl"}})
    purge = call(f"{VFOLDERS}/PurgeVFolder", {"vfolderId": made["id"], "skipTrash": True})
    streamed = grpcurl(
        "-H",
        f"authorization: Bearer {system['tokens']['alice']}",
        "-d",
        json.dumps({"name": purge["name"]}),
        system["manager"],
        "vfolder.v1.OperationService/Watch",
    )
    assert '"done": true' in streamed


def test_a_refusal_is_printed_with_its_details(system):
    done = subprocess.run(
        [
            grpcurl_path(),
            "-plaintext",
            "-H",
            f"authorization: Bearer {system['tokens']['alice']}",
            "-d",
            '{"vfolder_id": "no uuid"}',
            system["manager"],
            f"{VFOLDERS}/GetVFolder",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    for text in ("Code: InvalidArgument", "google.rpc.ErrorInfo", "FIELD_INVALID", "google.rpc.BadRequest", "vfolder_id"):
        assert text in done.stderr


def test_the_storage_proxy_answers_whoever_holds_its_secret(system, grpcurl):
    secret = Path(system["storage_secret_file"]).read_bytes().strip()
    token = sign({"aud": "vfolder-service", "exp": int(time.time()) + 60}, secret)
    answer = grpcurl(
        "-H",
        f"vfolder-service: {token}",
        "-d",
        '{"nonce": "a nonce"}',
        system["storage_proxy"],
        "vfolder.storage.v1.StorageService/Handshake",
    )
    volumes = json.loads(answer)["volumes"]
    assert [v["name"] for v in volumes] == ["local"]


def sign(claims, secret):
    """A JWT, by hand."""

    def encode(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    header = encode(b'{"alg":"HS256","typ":"JWT"}')
    signed = header + b"." + encode(json.dumps(claims).encode())
    signature = encode(hmac.new(secret, signed, hashlib.sha256).digest())
    return (signed + b"." + signature).decode()
