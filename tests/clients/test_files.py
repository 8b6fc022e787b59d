"""Files by a Python client, through the manager: upload, list, download."""

import hashlib
import random

import grpc
import pytest

from foreign import details_of

FILES = "vfolder.v1.FileService"
CHUNK = 1 << 20


@pytest.fixture
def files(api, alice):
    """Calls a file RPC on a new vfolder."""
    name = f"files-{random.getrandbits(48):x}"
    made = api.call("vfolder.v1.VFolderService/CreateVFolder", {"vfolder": {"name": name}}, metadata=alice)

    def call(method, fields, stream=False):
        if not stream:
            return api.call(f"{FILES}/{method}", {"vfolder_id": made.id} | fields, metadata=alice)
        first, *others = fields
        return api.call(f"{FILES}/{method}", [{"vfolder_id": made.id} | first, *others], metadata=alice)

    return call


def chunks(data, size=CHUNK):
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


def read(files, fields):
    first, *others = list(files("ReadFile", fields))
    assert not first.data
    return first.entry, b"".join(message.data for message in others)


def test_a_file_is_written_listed_and_read_back(files):
    data = content(5_000_000)
    check = {"size": len(data), "sha256": hashlib.sha256(data).digest()}
    target = {"path": "data/räw/five.bin", "parents": True}
    messages = [{"file": target, "check": check}, *({"data": part} for part in chunks(data))]
    assert files("WriteFile", messages, stream=True).written == len(data)

    listed = files("ListFiles", {"recursive": True}).entries
    assert [entry.path for entry in listed] == ["data", "data/räw", "data/räw/five.bin"]
    entry, got = read(files, {"path": "data/räw/five.bin"})
    assert (entry.size, entry.etag) == (len(data), listed[2].etag)
    assert got == data
    # A download that goes on: only of what it was before.
    _, rest = read(files, {"path": "data/räw/five.bin", "offset": 4_999_000, "etag": entry.etag})
    assert rest == data[4_999_000:]
    found = files("SearchFiles", {"pattern": "*.bin"}).entries
    assert [entry.path for entry in found] == ["data/räw/five.bin"]
    usage = files("GetUsage", {})
    assert (usage.files, usage.bytes) == (4, len(data))


def test_an_upload_goes_on_where_it_broke_off(files):
    data = content(3 * CHUNK + 77, seed=2)
    upload = files("CreateUpload", {"target": {"path": "big"}, "size": len(data)})
    first = [{"upload_id": upload.id}, *({"data": part} for part in chunks(data[: 2 * CHUNK]))]
    files("WriteFile", first, stream=True)
    # Nobody sees half of it.
    assert not files("ListFiles", {}).entries
    offset = files("GetUpload", {"upload_id": upload.id}).offset
    assert offset == 2 * CHUNK
    rest = [{"upload_id": upload.id, "offset": offset}, *({"data": part} for part in chunks(data[offset:]))]
    files("WriteFile", rest, stream=True)
    digest = hashlib.sha256(data).digest()
    entry = files("CommitUpload", {"upload_id": upload.id, "check": {"sha256": digest}})
    assert (entry.path, entry.size) == ("big", len(data))
    assert read(files, {"path": "big"})[1] == data


def test_a_wrong_digest_is_refused_with_its_reason(files):
    target = {"file": {"path": "f"}, "check": {"sha256": bytes(32)}, "data": b"x"}
    with pytest.raises(grpc.RpcError) as refused:
        files("WriteFile", [target], stream=True)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert details_of(refused.value)["ErrorInfo"].reason == "DIGEST_MISMATCH"
    assert not files("ListFiles", {}).entries


def test_files_are_moved_and_removed_each_with_its_answer(files):
    for path in ("a/b", "c"):
        files("CreateDirectory", {"path": path, "parents": True})
    assert files("MoveFile", {"path": "a/b", "new_path": "c/b"}).path == "c/b"
    results = files("RemoveFiles", {"paths": ["c", "none"], "recursive": True}).results
    told = [(result.path, result.removed, result.files, result.reason) for result in results]
    assert told == [("c", True, 2, ""), ("none", False, 0, "FILE_NOT_FOUND")]
