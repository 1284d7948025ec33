"""From a URL and an environment to an open store."""

import pytest

from zvault.app.stores import S3Access, open_store
from zvault.storage.errors import S3OptionsError
from zvault.storage.s3 import S3Storage

AWS = {"AWS_ACCESS_KEY_ID": "of-aws", "AWS_SECRET_ACCESS_KEY": "x"}
B2 = {"B2_APPLICATION_KEY_ID": "of-b2", "B2_APPLICATION_KEY": "y"}
B2_ENDPOINT = "https://s3.eu-central-003.backblazeb2.com"


def key_id(endpoint: str, environment: dict[str, str], provider: str = "") -> str:
    access = S3Access(endpoint=endpoint, provider=provider)
    store = open_store("s3://vault/x", access, environment=environment)
    assert isinstance(store, S3Storage)
    return store._options.credentials.access_key_id


def test_a_provider_gets_its_own_keys_when_the_environment_holds_two_pairs() -> None:
    both = AWS | B2
    assert key_id("", both) == "of-aws"
    assert key_id("https://minio.example.com", both) == "of-aws"
    assert key_id(B2_ENDPOINT, both) == "of-b2"
    assert key_id("", both | {"AWS_ENDPOINT_URL_S3": B2_ENDPOINT}) == "of-b2"
    assert key_id(B2_ENDPOINT, AWS) == "of-aws", "B2's keys under the other names"


def test_an_endpoint_that_cannot_be_is_refused_before_keys_are_looked_for() -> None:
    with pytest.raises(S3OptionsError, match="no URL"):
        open_store("s3://vault", S3Access(endpoint="http://[::1"), environment={})
