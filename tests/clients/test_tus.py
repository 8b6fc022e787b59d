"""tuspy, as PyPI has it, and curl, against the direct way: by a grant from the manager."""

import hashlib
import os
import re
import subprocess

import pytest
from tusclient import client as tus
from tusclient.exceptions import TusCommunicationError

VFOLDERS = "vfolder.v1.VFolderService"


@pytest.fixture
def granted(api, alice, request):
    """A vfolder's id, and a grant to write it."""
    name = re.sub(r"\W", "-", request.node.name)[-60:].strip("-")
    vfolder = api.call(f"{VFOLDERS}/CreateVFolder", {"vfolder": {"name": name}}, metadata=alice)
    return vfolder.id, grant(api, alice, vfolder.id)


def grant(api, alice, vfolder, mode=2, **fields):
    request = {"vfolder_id": vfolder, "mode": mode, **fields}
    return api.call("vfolder.v1.GrantService/CreateGrant", request, metadata=alice)


def client(got):
    return tus.TusClient(f"{got.http_url}/uploads", headers={"Authorization": f"Bearer {got.token}"})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5_000_001))
    return path


def download(got, path):
    done = subprocess.run(
        ["curl", "-sSf", "-H", f"Authorization: Bearer {got.token}", f"{got.http_url}/files/{path}"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_upload_in_chunks_with_checksums_is_the_file(granted, file):
    _, got = granted
    uploader = client(got).uploader(
        str(file), chunk_size=1_000_000, metadata={"filename": "new/dir/f", "filetype": "text/html"}, upload_checksum=True
    )
    uploader.upload()
    assert hashlib.sha256(download(got, "new/dir/f")).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_a_whole_file_at_once_is_the_file(granted, file):
    _, got = granted
    client(got).uploader(str(file), metadata={"filename": "f"}).upload()
    assert download(got, "f") == file.read_bytes()


def test_an_interrupted_upload_goes_on_with_a_new_grant_where_it_stopped(api, alice, granted, file):
    vfolder, got = granted
    uploader = client(got).uploader(str(file), chunk_size=1_500_000, metadata={"filename": "f"})
    uploader.upload_chunk()
    uploader.upload_chunk()
    url = uploader.url
    # Another process, later: it knows the URL and has a grant of its own.
    later = grant(api, alice, vfolder)
    resumed = client(later).uploader(str(file), url=url, chunk_size=1_500_000)
    assert resumed.offset == 3_000_000
    resumed.upload()
    assert download(later, "f") == file.read_bytes()


def test_what_is_there_is_not_replaced_and_the_client_hears_it(granted, file):
    _, got = granted
    client(got).uploader(str(file), metadata={"filename": "f"}).upload()
    again = client(got).uploader(str(file), metadata={"filename": "f"})
    with pytest.raises(TusCommunicationError) as error:
        again.upload()
    assert error.value.status_code == 409
    assert b"FILE_EXISTS" in error.value.response_content
    replacing = client(got).uploader(str(file), metadata={"filename": "f", "replace": "true"})
    replacing.upload()
    assert download(got, "f") == file.read_bytes()


def test_a_grant_to_read_does_not_upload(api, alice, granted, file):
    vfolder, _ = granted
    read = grant(api, alice, vfolder, mode=1)
    with pytest.raises(TusCommunicationError) as error:
        client(read).uploader(str(file), metadata={"filename": "f"}).upload()
    assert error.value.status_code == 403


def test_an_upload_does_not_go_on_after_the_trash(api, alice, granted, file):
    vfolder, got = granted
    uploader = client(got).uploader(str(file), chunk_size=1_500_000, metadata={"filename": "f"})
    uploader.upload_chunk()
    api.call(f"{VFOLDERS}/DeleteVFolder", {"vfolder_id": vfolder}, metadata=alice)
    with pytest.raises(TusCommunicationError) as error:
        uploader.upload_chunk()
    assert error.value.status_code == 409
    assert b"GRANT_STALE" in error.value.response_content
