"""Laws for every service of the roster, over a real OpenBao and PostgreSQL."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import pytest
from hvac.exceptions import Forbidden

from launcher.programs import beside_python, plain_environment
from launcher.roster import SERVICES
from launcher.smoke.grounds import texts_of
from launcher.vault import MOUNT
from tests.support.service_stand import Backing, Provided, provide, serving, standing
from zakupai_common.vault.errors import StartError
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.identity import OPEN_PATHS
from zakupai_common.web.service import Service

each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
behind_the_gateway = pytest.mark.parametrize(
    "service",
    [service for service in SERVICES if service.guard is None],
    ids=lambda service: service.name,
)


def run(
    provided: Provided, cwd: Path, *words: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The service's command to its end: it must not stay."""
    return subprocess.run(
        [beside_python(f"zakupai-{provided.service.name}"), *(words or ("serve",))],
        cwd=cwd,
        env={**plain_environment(cwd), **provided.environment(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def required(service: Service) -> list[tuple[str, str, str]]:
    return [
        (one.name, one.path, one.key)
        for one in service.declared()
        if one.required and one.key is not None
    ]


@contextmanager
def without(on: Backing, given: Provided, path: str, key: str) -> Iterator[None]:
    """The secret is gone for a while."""
    values = given.values[path]
    on.write(path, {name: value for name, value in values.items() if name != key})
    try:
        yield
    finally:
        on.write(path, values)


@pytest.mark.row("B4")
@each_service
def test_a_service_without_its_secret_does_not_start_and_says_which(
    servers: Backing, service: Service, tmp_path: Path
) -> None:
    given = provide(servers, service)
    for name, path, key in required(service):
        store = SecretStore(given.vault, service.declared())
        with without(servers, given, path, key), pytest.raises(StartError) as refused:
            store.start()
        assert list(refused.value.missing) == [name]
    name, path, key = required(service)[0]
    with without(servers, given, path, key):
        done = run(given, tmp_path)
    assert done.returncode == 3
    assert name in done.stderr
    assert path in done.stderr
    for values in given.values.values():
        assert not any(str(value) in done.stderr for value in values.values() if len(value) > 20)


@pytest.mark.row("B4")
@each_service
def test_a_service_starts_neither_from_an_env_file_nor_with_a_secret_in_its_environment(
    servers: Backing, service: Service, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=hunter2\n")
    address = "postgresql://me:hunter2@db/x"
    done = run(provide(servers, service), tmp_path, DATABASE_URL=address)
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr
    assert ".env" in done.stderr
    assert "hunter2" not in done.stderr


@each_service
def test_a_database_that_cannot_be_migrated_has_an_exit_code_of_its_own(
    servers: Backing, service: Service, tmp_path: Path
) -> None:
    given = provide(servers, service)
    done = run(given, tmp_path, "migrate", ZAKUPAI_DATABASE_PORT="1")
    assert done.returncode == 4
    assert "the schema is not migrated" in done.stderr
    assert str(given.values[f"{service.home}/database"]["password"]) not in done.stderr


@pytest.mark.row("B4")
def test_a_file_of_settings_is_for_development_only(servers: Backing, tmp_path: Path) -> None:
    given = provide(servers, SERVICES[0])
    file = tmp_path / "settings"
    file.write_text("ZAKUPAI_LOG_LEVEL=DEBUG\n")
    done = run(given, tmp_path, "--env-file", str(file), "serve")
    assert done.returncode == 2
    assert "development" in done.stderr


@pytest.mark.row("B4")
@each_service
def test_a_service_reads_its_own_secrets_and_nothing_else(
    servers: Backing, service: Service
) -> None:
    given = provide(servers, service)
    client = hvac.Client(url=servers.bao.address)
    assert given.vault.role_id_file is not None
    assert given.vault.secret_id_file is not None
    client.auth.approle.login(
        given.vault.role_id_file.read_text(), given.vault.secret_id_file.read_text()
    )
    kv = client.secrets.kv.v2
    own = {one.path for one in service.declared()}
    for path in own:
        kv.read_secret_version(path, mount_point=MOUNT, raise_on_deleted_version=True)
        with pytest.raises(Forbidden):
            kv.create_or_update_secret(path, {"key": "mine"}, mount_point=MOUNT)
    foreign = {one.path for other in SERVICES for one in other.declared()} - own
    for path in {
        *foreign,
        "shared/jwt",
        "shared/nothing",
        "services",
        f"services/{service.name}x/a",
    }:
        if service.guard is not None and path.endswith("/identity"):
            continue  # the gateway signs with every service's key
        with pytest.raises(Forbidden):
            kv.read_secret_version(path, mount_point=MOUNT, raise_on_deleted_version=True)
    for folder in ("", "services", f"services/{service.name}"):
        with pytest.raises(Forbidden):
            kv.list_secrets(folder, mount_point=MOUNT)
    client.adapter.close()


@each_service
def test_every_secret_that_a_service_holds_is_known_to_what_hides_secrets_in_its_logs(
    servers: Backing, service: Service
) -> None:
    given = provide(servers, service)
    with SecretStore(given.vault, service.declared()) as store:
        hidden = service.live_values(store)
    held = [
        text
        for values in given.values.values()
        for value in values.values()
        for text in texts_of(value)
    ]
    assert held
    assert set(held) <= set(hidden)
    assert service.name not in hidden, "the user of its database, an ordinary word"


@behind_the_gateway
def test_a_process_that_ends_takes_its_token_with_it(
    servers: Backing, service: Service, tmp_path: Path
) -> None:
    def tokens() -> set[str]:
        return set(servers.root.list("auth/token/accessors")["data"]["keys"])

    before = tokens()
    with serving(provide(servers, service), tmp_path):
        its = tokens() - before
    assert its
    assert not tokens() & its
    assert "Traceback" not in (tmp_path / f"{service.name}.log").read_text()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@behind_the_gateway
async def test_no_route_answers_without_the_gateway_but_the_open_ones(
    servers: Backing, service: Service
) -> None:
    async with standing(provide(servers, service)) as stand:
        document = (await stand.call("GET", "/openapi.json")).json()
        for path, method, _ in operations(document):
            target = path.replace("{", "").replace("}", "")
            headers = {"X-Zakupai-User": "1", "X-Zakupai-Scopes": "billing:admin"}
            answer = await stand.client.request(method.upper(), target, headers=headers)
            if path in OPEN_PATHS:
                assert answer.status_code == 200, path
            else:
                assert answer.status_code == 401, path
        assert (await stand.client.get("/openapi.json")).status_code == 401


@behind_the_gateway
async def test_every_route_is_described_with_a_name_and_an_example(
    servers: Backing, service: Service
) -> None:
    async with standing(provide(servers, service)) as stand:
        document = (await stand.call("GET", "/openapi.json")).json()
    found = operations(document)
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names)
    schemas = document["components"]["schemas"]
    for path, _, operation in found:
        assert operation["description"], path
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            if name:
                assert schemas[name]["examples"], name
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and path not in OPEN_PATHS:
                assert list(answer["content"]) == ["application/problem+json"], (path, status)


@behind_the_gateway
async def test_a_service_tells_how_it_does_with_vault_and_no_secret(
    servers: Backing, service: Service
) -> None:
    given = provide(servers, service)
    async with standing(given) as stand:
        assert (await stand.client.get("/info")).status_code == 401
        answer = await stand.call("GET", "/info")
    found = answer.json()
    assert (found["service"], found["environment"]) == (service.name, "production")
    assert found["vault"]["secrets"] == [one.name for one in service.declared()]
    assert (found["vault"]["ready"], found["vault"]["logins"]) == (True, 1)
    assert 0 < found["vault"]["token_seconds_left"] <= 3600
    texts = [str(value) for values in given.values.values() for value in values.values()]
    assert not [text for text in texts if len(text) > 20 and text in answer.text]
