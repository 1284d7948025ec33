"""A service under test, over a real OpenBao, PostgreSQL and Redis.

``backing`` are the servers, once for a worker; ``provide`` gives a service its policy, role,
secrets and database there; ``standing`` runs its app in this process, ``serving`` its command in a
process of its own.
"""

import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import hvac
import psutil
import psycopg
from fastapi import FastAPI

from launcher.outside import Outside, World, outside
from launcher.ports import free_ports
from launcher.postgres import Postgres
from launcher.programs import Programs, beside_python, plain_environment, run_once
from launcher.redis_server import RedisServer
from launcher.roster import FOLDER_OPTIONS, MAKERS, OUTSIDE_SECRETS, first_values
from launcher.vault import MOUNT, policy_file
from tests.support.openbao import OpenBao, running
from zakupai_common.migrations import upgrade
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.store import SecretStore
from zakupai_common.vault.upkeep import Pace
from zakupai_common.web.identity import identity_headers
from zakupai_common.web.metrics_port import OPTION as METRICS_PORT
from zakupai_common.web.parts import Parts
from zakupai_common.web.service import Service, create_app, database_settings
from zakupai_common.web.settings import ServiceSettings

QUICK = Pace(refresh=0.05, max_age=3600.0, start=20.0, first_wait=0.02, longest_wait=0.1)
ALL_SCOPES = (
    "billing:admin",
    "billing:validate",
    "etl:admin",
    "etl:run",
    "etl:write",
    "risk:admin",
    "risk:write",
)


@dataclass
class Backing:
    """The servers; ``root`` speaks to OpenBao as its operator."""

    folder: Path
    bao: OpenBao
    root: hvac.Client
    keys: Sequence[str]
    postgres: Postgres
    redis: RedisServer
    redis_password: str
    abroad: Outside
    """Stand-ins for the servers of others; they know the tokens that services were given."""
    provided: dict[str, "Provided"] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By path: what services were given; two that read one path get the same."""

    def unseal(self) -> None:
        """Open OpenBao again after a seal or a restart."""
        for key in self.keys:
            self.root.sys.submit_unseal_key(key)

    def write(self, path: str, values: Mapping[str, Any]) -> None:
        """A secret below the mount."""
        self.root.secrets.kv.v2.create_or_update_secret(path, dict(values), mount_point=MOUNT)


@dataclass
class Provided:
    """What one service was given."""

    service: Service
    vault: VaultSettings
    settings: ServiceSettings
    values: dict[str, dict[str, Any]]

    @property
    def identity_key(self) -> bytes:
        return str(self.values[f"{self.service.home}/identity"]["key"]).encode()

    def environment(self) -> dict[str, str]:
        """What its process is told."""
        vault, settings = self.vault, self.settings
        told = {
            "VAULT_ADDR": vault.address,
            "VAULT_ROLE_ID_FILE": str(vault.role_id_file),
            "VAULT_SECRET_ID_FILE": str(vault.secret_id_file),
            "ZAKUPAI_PORT": str(settings.port),
        }
        if self.service.database:
            told["ZAKUPAI_DATABASE_HOST"] = settings.database_host
            told["ZAKUPAI_DATABASE_PORT"] = str(settings.database_port)
            told["ZAKUPAI_DATABASE_NAME"] = settings.database_name
        if self.service.redis:
            told["ZAKUPAI_REDIS_HOST"] = settings.redis_host
            told["ZAKUPAI_REDIS_PORT"] = str(settings.redis_port)
        told |= {f"ZAKUPAI_{name.upper()}_URL": url for name, url in settings.urls.items()}
        return {**told, **settings.options}


@contextlib.contextmanager
def backing(folder: Path) -> Iterator[Backing]:
    """All servers, empty; stopped at the end."""
    (folder / "bao").mkdir(parents=True)
    postgres_port, redis_port = free_ports(2)
    postgres = Postgres(folder / "postgresql", postgres_port)
    redis, password = RedisServer(folder / "redis", redis_port), secrets.token_urlsafe(24)
    with (
        running(folder / "bao", folder / "bao" / "data") as bao,
        outside(World("", "")) as abroad,
    ):
        made = bao.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})[1]
        root = hvac.Client(url=bao.address, token=made["root_token"])
        try:
            root.sys.submit_unseal_key(made["keys"][0])
            root.sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
            root.sys.enable_auth_method("approle")
            postgres.create(durable=False)
            postgres.start()
            redis.start(password)
            yield Backing(folder, bao, root, made["keys"], postgres, redis, password, abroad)
        finally:
            root.adapter.close()
            redis.stop()
            postgres.stop()


def provide(on: Backing, service: Service) -> Provided:
    """Policy, role, secrets, database and schema of a service; once for a worker."""
    if service.name not in on.provided:
        on.provided[service.name] = _provide(on, service)
    return on.provided[service.name]


def _provide(on: Backing, service: Service) -> Provided:
    name = service.name
    values: dict[str, dict[str, Any]] = first_values([service])
    for path, made in values.items():
        if path == "shared/redis":
            made["password"] = on.redis_password
        made.update(on.values.setdefault(path, {}))
        on.values[path].update(made)
        on.write(path, made)
    token, bot = (values.get(path, {}).get(key) for path, key in OUTSIDE_SECRETS.values())
    on.abroad.world.goszakup_token = token or on.abroad.world.goszakup_token
    on.abroad.world.bot_token = bot or on.abroad.world.bot_token
    on.root.sys.create_or_update_policy(name, policy_file(service).read_text())
    vault = login_files(on, service, on.folder / name)
    settings = ServiceSettings(
        port=free_ports(1)[0],
        database_host="127.0.0.1",
        database_port=on.postgres.port,
        database_name=name,
        redis_host="127.0.0.1",
        redis_port=on.redis.port,
        urls=dict.fromkeys(service.urls, on.abroad.url),
        options=_options(on, service),
    )
    if service.database:
        on.postgres.give_database(name, values[f"{service.home}/database"]["password"])
        with SecretStore(vault, service.declared(), pace=QUICK) as store:
            upgrade(service.package, database_settings(settings), service.database_login(store))
    return Provided(service, vault, settings, values)


def left_behind(on: Backing) -> list[str]:
    """What a service was given and would not find any more; a test that borrows gives back."""
    changed = []
    for path, values in on.values.items():
        found = on.root.secrets.kv.v2.read_secret_version(
            path, mount_point=MOUNT, raise_on_deleted_version=True
        )["data"]["data"]
        for key in found.keys() | values.keys():
            if found.get(key) != values.get(key) and (path, key) not in MAKERS:
                changed.append(f"{path}: {key}")
    for given in on.provided.values():
        if given.service.database:
            login = on.values[f"{given.service.home}/database"]
            if not _lets_in(given.settings, login["user"], login["password"]):
                changed.append(f"{given.service.name}: the password of its database")
    return changed


def _lets_in(told: ServiceSettings, user: str, password: str) -> bool:
    try:
        psycopg.connect(
            host=told.database_host,
            port=told.database_port,
            dbname=told.database_name,
            user=user,
            password=password,
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def _options(on: Backing, service: Service) -> dict[str, str]:
    wanted = {
        METRICS_PORT: "0",
        **dict.fromkeys(FOLDER_OPTIONS, str(on.folder / service.name / "files")),
    }
    return {name: value for name, value in wanted.items() if name in service.options}


def login_files(on: Backing, service: Service, folder: Path, **role: Any) -> VaultSettings:
    """The service's role (``role``: more of its settings) and files to log in with."""
    folder.mkdir(parents=True, exist_ok=True)
    approle = on.root.auth.approle
    approle.create_or_update_approle(
        service.name, token_policies=[service.name], **{"token_ttl": "1h", **role}
    )
    role_id = approle.read_role_id(service.name)["data"]["role_id"]
    secret_id = approle.generate_secret_id(service.name)["data"]["secret_id"]
    for file, text in (("role-id", role_id), ("secret-id", secret_id)):
        (folder / file).write_text(text)
        (folder / file).chmod(0o600)
    return VaultSettings(on.bao.address, folder / "role-id", folder / "secret-id")


@dataclass
class Stand:
    """A service's app in this process, and a gateway's way to call it."""

    provided: Provided
    app: FastAPI
    client: httpx.AsyncClient

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    async def call(
        self,
        method: str,
        path: str,
        *,
        user: str = "user-1",
        plan: str = "free",
        scopes: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """A request as the gateway would send it for this user."""
        target = path + ("?" + urlencode(params) if params else "")
        headers = identity_headers(
            self.provided.identity_key,
            method,
            target,
            user=user,
            plan=plan,
            scopes=scopes,
            request_id=secrets.token_hex(8),
        )
        return await self.client.request(
            method, target, headers={**headers, **more.pop("headers", {})}, **more
        )


@contextlib.asynccontextmanager
async def standing(
    provided: Provided, *, pace: Pace = QUICK, **settings: Any
) -> AsyncIterator[Stand]:
    """The app, started; ``settings`` replaces some of what it was told."""
    told = replace(provided.settings, **settings)
    with SecretStore(provided.vault, provided.service.declared(), pace=pace) as store:
        app = create_app(provided.service, told, store)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            yield Stand(provided, app, client)


@contextlib.contextmanager
def serving(provided: Provided, folder: Path) -> Iterator[str]:
    """The service's own command in a process; yields its address."""
    programs, name = Programs(folder), provided.service.name
    address = f"http://127.0.0.1:{provided.settings.port}"

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/ready").status_code == 200
        return False

    programs.start(name, [beside_python(f"zakupai-{name}"), "serve"], provided.environment())
    try:
        programs.wait(name, ready, 60)
        yield address
    finally:
        programs.stop(name)


def command(provided: Provided, word: str, home: Path, environment: Mapping[str, str]) -> str:
    """Run a service's command to its end. Raises LauncherError with its last line."""
    program = beside_python(f"zakupai-{provided.service.name}")
    return run_once([program, word], {**plain_environment(home), **environment})


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process and its children do not run: they neither answer nor close anything."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            process.send_signal(signal.SIGCONT)
