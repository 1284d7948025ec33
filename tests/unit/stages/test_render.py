"""Laws of the rendered configuration."""

import dataclasses

import pytest

from zvault.ops.stages.model import STAGES, StorageKind, UnknownStageError, stage
from zvault.ops.stages.render import (
    FilePlace,
    S3Place,
    ServerValues,
    UnrenderableError,
    render_server_config,
)

FILE = ServerValues(
    address="127.0.0.1:8311",
    storage=FilePlace("monitoring/vault/data"),
    tls_cert_file="monitoring/vault/tls/vault-cert.pem",
    tls_key_file="monitoring/vault/tls/vault-key.pem",
    cluster_name="zakupai",
    default_lease_ttl="768h",
    max_lease_ttl="87600h",
)
S3 = dataclasses.replace(
    FILE, storage=S3Place("zakupai-vault-storage", "vault", "http://127.0.0.1:8333", "us-east-1")
)


def test_the_table_says_what_the_seeds_say() -> None:
    assert [(s.storage, s.unseal, s.tls, s.audit, s.backup) for s in STAGES.values()] == [
        ("file", "manual", False, False, "manual"),
        ("file", "agent", False, False, "daily-local"),
        ("s3", "agent", True, True, "daily-remote"),
    ]
    assert all(s.ui and s.disable_mlock and not s.ha for s in STAGES.values())


def test_a_number_that_is_no_stage_is_refused() -> None:
    with pytest.raises(UnknownStageError, match="no stage 6"):
        stage(6)


@pytest.mark.parametrize("number", [7, 8])
def test_file_stages_listen_without_tls(number: int) -> None:
    text = render_server_config(stage(number), FILE)
    assert 'storage "file" {\n  path = "monitoring/vault/data"\n}' in text
    assert "tls_disable = true" in text
    assert "tls_cert_file" not in text
    assert 'api_addr          = "http://127.0.0.1:8311"' in text


def test_stage_9_listens_with_tls_on_s3_and_holds_no_credential() -> None:
    text = render_server_config(stage(9), S3)
    assert 'storage "s3" {' in text
    assert 'tls_cert_file   = "monitoring/vault/tls/vault-cert.pem"' in text
    assert "tls_disable     = false" in text
    assert "access_key" not in text
    assert "secret_key" not in text


def test_equal_input_gives_equal_bytes() -> None:
    assert render_server_config(stage(9), S3) == render_server_config(stage(9), S3)


def test_a_stage_refuses_the_other_storage() -> None:
    with pytest.raises(UnrenderableError):
        render_server_config(stage(9), FILE)
    with pytest.raises(UnrenderableError):
        render_server_config(stage(8), S3)


def test_stage_9_refuses_to_be_rendered_without_a_certificate() -> None:
    with pytest.raises(UnrenderableError, match="TLS"):
        render_server_config(stage(9), dataclasses.replace(S3, tls_cert_file=""))


def test_quotes_are_escaped_and_interpolation_is_refused() -> None:
    odd = dataclasses.replace(FILE, storage=FilePlace('da"ta\\x'))
    assert 'path = "da\\"ta\\\\x"' in render_server_config(stage(7), odd)
    for bad in ("a${b}", "a\nb", "a\0b"):
        with pytest.raises(UnrenderableError):
            render_server_config(stage(7), dataclasses.replace(FILE, storage=FilePlace(bad)))


def test_storage_kinds_cover_the_places() -> None:
    assert {s.storage for s in STAGES.values()} == set(StorageKind)
