"""One system for all tests: a manager and a storage-proxy as real processes."""

import json
import os
import subprocess
from pathlib import Path

import grpc
import pytest

from foreign import Api, grpcurl_path

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def system():
    binary = os.environ.get("VFOLDER_TEST_SYSTEM", REPO / "target/debug/test-system")
    process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line, "the system did not start: see above"
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def channel(system):
    with grpc.insecure_channel(system["manager"]) as channel:
        yield channel


@pytest.fixture(scope="session")
def api(channel):
    """The API as reflection tells it: no generated code, no .proto files."""
    return Api(channel)


@pytest.fixture(scope="session")
def alice(system):
    return bearer(system["tokens"]["alice"])


@pytest.fixture(scope="session")
def grpcurl():
    """Runs grpcurl; gives what it printed, or fails with what it said."""

    def run(*arguments):
        done = subprocess.run(
            [grpcurl_path(), "-plaintext", *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def bearer(token):
    return (("authorization", f"Bearer {token}"),)
