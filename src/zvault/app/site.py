"""The site: what ``zvault.toml`` says, with the seeds' paths as defaults.

What lives here: the settings as frozen values and the one reader of the file. What never does: a
secret (files that hold one are named, not read), a concrete class (``wiring.py``).
Invariants: all problems of a file are reported at once with their place in it; an unknown key is
one; paths in the file are relative to its folder, and stay so in rendered configuration, which is
why servers run in that folder. Documented in docs/config.md; a test compares the two.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from zvault.app.declared import DeclareSettings, read_declare
from zvault.app.toml_table import Table
from zvault.base.errors import UsageError
from zvault.ops.migration.model import Limits
from zvault.storage.errors import StoreUrlError
from zvault.storage.urls import parse_store_url

DEFAULT_FILE = Path("zvault.toml")
_VAULT = "monitoring/vault"


class SiteFileError(UsageError):
    """zvault.toml cannot be read or says something wrong."""

    code = "site-file"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Two slots: stages 7 and 8 listen on the first, stage 9 with TLS on the second."""

    plain_address: str
    tls_address: str
    default_lease_ttl: str
    max_lease_ttl: str
    stop_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class FrontDoorPlace:
    """Where clients come in, and the file that tells them the scheme."""

    plain_address: str
    tls_address: str
    address_file: Path
    caddy: Path | None


@dataclass(frozen=True, slots=True)
class S3Place:
    """Stage 9's store. ``credentials_file`` (0600) has AWS's or Backblaze's two names in it."""

    url: str
    endpoint: str
    region: str
    provider: str
    credentials_file: Path
    allow_http: bool


@dataclass(frozen=True, slots=True)
class UnsealSettings:
    """The key file and where its password comes from: a file or a systemd credential."""

    key_file: Path
    password_file: Path
    password_credential: str
    owner: str
    allow_password_beside_key_file: bool


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """A role that may write one secret. Empty ``role_id_file``: there is none."""

    role_id_file: Path
    secret_id_file: Path
    auth_mount: str
    mount: str
    path: str
    configured: bool


@dataclass(frozen=True, slots=True)
class Places:
    """Files and folders of the site."""

    data_dir: Path
    config_dir: Path
    run_dir: Path
    log_file: Path
    audit_file: Path
    backup_dir: Path
    tls_dir: Path


@dataclass(frozen=True, slots=True)
class Site:
    """Everything. ``root`` is the folder of zvault.toml; every path is absolute."""

    root: Path
    name: str
    server: ServerSettings
    front_door: FrontDoorPlace
    s3: S3Place
    unseal: UnsealSettings
    canary: CanarySettings
    places: Places
    tls_hosts: tuple[str, ...]
    limits: Limits
    declare: DeclareSettings

    def relative(self, path: Path) -> str:
        """As the server will see it from ``root``; absolute when it lies elsewhere."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def file_url(self, path: Path) -> str:
        """The store URL of a data directory."""
        return f"file:{self.relative(path)}"


def load_site(path: Path) -> Site:
    """Read the file. Raises SiteFileError naming every problem."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SiteFileError(
            f"{path} does not exist", hint="write one (docs/config.md); it may be empty"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SiteFileError(f"{path} cannot be read: {error}", hint="docs/config.md") from None
    problems: list[str] = []
    site = _site(Table("", content, problems), Path(os.path.abspath(path)).parent)  # noqa: PTH100
    problems += _contradictions(site)
    if problems:
        raise SiteFileError(f"{path}: {'; '.join(problems)}", hint="docs/config.md")
    return site


def _site(table: Table, root: Path) -> Site:
    site = Site(
        root=root,
        name=table.text("name", "zakupai"),
        server=_server(table.table("server")),
        front_door=_front_door(table.table("frontdoor"), root),
        s3=_s3(table.table("s3"), root),
        unseal=_unseal(table.table("unseal"), root),
        canary=_canary(table.table("canary"), root),
        places=_places(table.table("paths"), root),
        tls_hosts=table.texts("tls_hosts"),
        limits=_limits(table.table("limits")),
        declare=read_declare(table.table("declare"), root),
    )
    table.done()
    return site


def _server(table: Table) -> ServerSettings:
    settings = ServerSettings(
        plain_address=table.address("plain_address", "127.0.0.1:8311"),
        tls_address=table.address("tls_address", "127.0.0.1:8312"),
        default_lease_ttl=table.text("default_lease_ttl", "768h"),
        max_lease_ttl=table.text("max_lease_ttl", "768h"),
        stop_timeout_seconds=table.number("stop_timeout_seconds", 60, at_least=1),
    )
    table.done()
    return settings


def _front_door(table: Table, root: Path) -> FrontDoorPlace:
    caddy = table.text("caddy", "")
    place = FrontDoorPlace(
        plain_address=table.address("plain_address", "127.0.0.1:9000"),
        tls_address=table.address("tls_address", "127.0.0.1:9443"),
        address_file=root / table.path("address_file", f"{_VAULT}/run/address"),
        caddy=root / caddy if caddy else None,
    )
    table.done()
    return place


def _s3(table: Table, root: Path) -> S3Place:
    place = S3Place(
        url=table.text("url", "s3://zakupai-vault-storage/vault"),
        endpoint=table.text("endpoint", ""),
        region=table.text("region", ""),
        provider=table.text("provider", ""),
        credentials_file=root / table.path("credentials_file", f"{_VAULT}/creds/s3-credentials"),
        allow_http=table.flag("allow_http", False),
    )
    table.done()
    return place


def _unseal(table: Table, root: Path) -> UnsealSettings:
    settings = UnsealSettings(
        key_file=root / table.path("key_file", f"{_VAULT}/creds/vault-unseal-key.enc"),
        password_file=root / table.path("password_file", f"{_VAULT}/.unseal-password"),
        password_credential=table.text("password_credential", ""),
        owner=table.text("owner", ""),
        allow_password_beside_key_file=table.flag("allow_password_beside_key_file", False),
    )
    table.done()
    return settings


def _canary(table: Table, root: Path) -> CanarySettings:
    configured = table.has("role_id_file")
    settings = CanarySettings(
        role_id_file=root / table.path("role_id_file", f"{_VAULT}/creds/canary-role-id"),
        secret_id_file=root / table.path("secret_id_file", f"{_VAULT}/creds/canary-secret-id"),
        auth_mount=table.text("auth_mount", "approle"),
        mount=table.text("mount", "zakupai"),
        path=table.text("path", "canary"),
        configured=configured,
    )
    table.done()
    return settings


def _places(table: Table, root: Path) -> Places:
    places = Places(
        data_dir=root / table.path("data_dir", f"{_VAULT}/data"),
        config_dir=root / table.path("config_dir", f"{_VAULT}/config"),
        run_dir=root / table.path("run_dir", f"{_VAULT}/run"),
        log_file=root / table.path("log_file", f"{_VAULT}/logs/vault.log"),
        audit_file=root / table.path("audit_file", f"{_VAULT}/logs/audit.log"),
        backup_dir=root / table.path("backup_dir", f"{_VAULT}/backups"),
        tls_dir=root / table.path("tls_dir", f"{_VAULT}/tls"),
    )
    table.done()
    return places


def _limits(table: Table) -> Limits:
    usual = Limits()
    hours = table.number("backup_max_age_hours", usual.backup_max_age_seconds / 3600)
    margin = table.number("disk_margin_mib", usual.disk_margin_bytes / 2**20)
    limits = Limits(
        backup_max_age_seconds=hours * 3600,
        hold_seconds=table.number("hold_seconds", usual.hold_seconds, at_least=1),
        unseal_wait_seconds=table.number(
            "unseal_wait_seconds", usual.unseal_wait_seconds, at_least=1
        ),
        start_wait_seconds=table.number("start_wait_seconds", usual.start_wait_seconds, at_least=1),
        quiet_seconds=table.number("quiet_seconds", usual.quiet_seconds),
        quiet_wait_seconds=table.number("quiet_wait_seconds", usual.quiet_wait_seconds),
        disk_margin_bytes=int(margin * 2**20),
    )
    table.done()
    return limits


def _contradictions(site: Site) -> list[str]:
    addresses = [
        site.server.plain_address,
        site.server.tls_address,
        site.front_door.plain_address,
        site.front_door.tls_address,
    ]
    found = []
    if len(set(addresses)) != len(addresses):
        found.append("the two servers and the two front door sites need four different addresses")
    try:
        if parse_store_url(site.s3.url).kind != "s3":
            found.append(f"s3.url must be s3://BUCKET/PREFIX, not {site.s3.url!r}")
    except StoreUrlError as error:
        found.append(f"s3.url: {error.message}")
    return found
