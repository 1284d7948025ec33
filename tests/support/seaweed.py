"""A real S3 server for tests: SeaweedFS, one for the whole run; a fresh bucket for who asks.

Use: ``from tests.support.seaweed import seaweed`` in a conftest or test module (it is a fixture),
then ``s3_options(seaweed, bucket)``.
"""

import itertools
from collections.abc import Iterator

import pytest

from demo.seaweed import Seaweed, start
from tests.support.real import require
from zvault.base.secret import Secret
from zvault.storage.s3_options import RetryPolicy, S3Credentials, S3Options

_numbers = itertools.count(1)
_running: list[Seaweed] = []


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A running SeaweedFS, stopped by its pid at the end of the session.

    Every module that imports the fixture gets one of its own as far as pytest knows; they share
    one server all the same.
    """
    if _running:
        yield _running[0]
        return
    server = start(require("seaweedfs"), tmp_path_factory.mktemp("seaweed"))
    _running.append(server)
    try:
        yield server
    finally:
        _running.remove(server)
        server.stop()


def fresh_bucket(server: Seaweed) -> str:
    """An empty bucket of its own."""
    name = f"bucket-{next(_numbers)}"
    server.create_bucket(name)
    return name


def s3_options(server: Seaweed, bucket: str, prefix: str = "") -> S3Options:
    """Options for a bucket of ``server``."""
    return S3Options(
        bucket=bucket,
        prefix=prefix,
        credentials=S3Credentials(server.access_key_id, Secret(server.secret_access_key)),
        endpoint=server.endpoint,
        region=server.region,
        provider="seaweedfs",
        retry=RetryPolicy(attempts=5, first_seconds=0.02),
        timeout_seconds=10.0,
    )
