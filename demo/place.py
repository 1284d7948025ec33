"""Where everything of one run lies, and which files may hold secrets.

What lives here: the folders below the work directory (0700), the free ports, zvault.toml. What
never does: a process.
"""

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.ports import free_ports

ROOT = Path(__file__).parent.parent
MUSEUM = ROOT / "tests" / "museum" / "stores"
ARCHIVE = "vault-file"
BUCKET = "zakupai-vault-storage"
CANARY_ROLE = "canary"
ESTATE = "services"
"""The folder of the programs of ``services/``, when they are wanted."""
MUSEUM_MAX_VERSIONS = 6
"""Of the mount ``zakupai/`` in every museum store."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one run."""

    plain: int
    tls: int
    door: int
    door_tls: int


@dataclass(frozen=True)
class S3Target:
    """The bucket of Stage 9. The credentials lie in ``Place.s3_credentials``."""

    name: str
    endpoint: str
    region: str
    provider: str
    bucket: str
    prefix: str
    allow_http: bool

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class Place:
    """The work directory. ``private`` holds the 0600 inputs; the site itself holds none."""

    work: Path
    ports: Ports

    @property
    def site(self) -> Path:
        return self.work / "site"

    @property
    def site_file(self) -> Path:
        return self.site / "zvault.toml"

    @property
    def vault(self) -> Path:
        return self.site / "monitoring" / "vault"

    @property
    def private(self) -> Path:
        return self.work / "private"

    @property
    def ledger(self) -> Path:
        return self.work / "ledger"

    @property
    def logs(self) -> Path:
        return self.work / "logs"

    @property
    def witness(self) -> Path:
        return self.work / "openbao"

    @property
    def shares_file(self) -> Path:
        return self.private / "shares.json"

    @property
    def token_file(self) -> Path:
        return self.private / "root-token"

    @property
    def password_file(self) -> Path:
        return self.private / "unseal-password"

    @property
    def s3_credentials(self) -> Path:
        return self.private / "s3-credentials"

    @property
    def canary_ids(self) -> tuple[Path, Path]:
        return self.private / "canary-role-id", self.private / "canary-secret-id"

    @property
    def ca_file(self) -> Path:
        return self.vault / "tls" / "ca.pem"

    @property
    def address_file(self) -> Path:
        return self.vault / "run" / "address"

    @property
    def audit_file(self) -> Path:
        return self.vault / "logs" / "audit.log"

    @property
    def door_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.door}"

    @property
    def door_tls_url(self) -> str:
        return f"https://127.0.0.1:{self.ports.door_tls}"

    def server_url(self, stage: int) -> str:
        """The server itself, behind the front door."""
        if stage == 9:
            return f"https://127.0.0.1:{self.ports.tls}"
        return f"http://127.0.0.1:{self.ports.plain}"

    def inputs(self) -> list[Path]:
        """Files that may hold secrets: all in ``private``, and those that the services' need."""
        estate = self.work / ESTATE
        found = [path for path in self.private.rglob("*") if path.is_file()]
        found += [path for path in (estate / "private").rglob("*") if path.is_file()]
        servers = (
            estate / "redis" / "redis.conf",
            estate / "postgresql" / "administrator-password",
        )
        return sorted([*found, *(path for path in servers if path.is_file())])


def prepare(work: Path) -> tuple[Place, dict[str, Any]]:
    """A fresh work directory with the museum's store as the site's; what must be found in it."""
    if work.exists():
        shutil.rmtree(work)
    place = Place(work, Ports(*free_ports(4)))
    for folder in (work, place.private, place.ledger, place.logs, place.site):
        folder.mkdir(mode=0o700)
    place.vault.mkdir(parents=True)
    museum = work / "museum"
    with tarfile.open(MUSEUM / f"{ARCHIVE}.tar.gz") as archive:
        # The keyword of extractall came with 3.11.4; Debian 12 has 3.11.2.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(museum)
    expected: dict[str, Any] = json.loads((museum / "expected.json").read_text())
    shutil.copytree(museum / "data", place.vault / "data")
    (place.vault / "data").chmod(0o700)
    # expected.json holds the shares and every secret: it moves to the inputs.
    (museum / "expected.json").rename(place.private / "expected.json")
    (place.private / "expected.json").chmod(0o600)
    write_private(
        place.shares_file, json.dumps(expected["shares"][: expected["threshold"]]).encode()
    )
    write_private(place.token_file, expected["root_token"].encode())
    write_private(place.password_file, os.urandom(18).hex().encode())
    return place, expected


def write_site(place: Place, s3: S3Target, caddy: Path) -> None:
    """zvault.toml: addresses, the bucket, where the password and the canary's ids lie."""
    ports, (role_id, secret_id) = place.ports, place.canary_ids
    place.site_file.write_text(
        f"""name = "zakupai"

[server]
plain_address = "127.0.0.1:{ports.plain}"
tls_address = "127.0.0.1:{ports.tls}"
max_lease_ttl = "87600h"

[frontdoor]
plain_address = "127.0.0.1:{ports.door}"
tls_address = "127.0.0.1:{ports.door_tls}"
caddy = {_quoted(caddy)}

[s3]
url = "{s3.url}"
endpoint = "{s3.endpoint}"
region = "{s3.region}"
provider = "{s3.provider}"
credentials_file = {_quoted(place.s3_credentials)}
allow_http = {"true" if s3.allow_http else "false"}

[unseal]
password_file = {_quoted(place.password_file)}

[canary]
role_id_file = {_quoted(role_id)}
secret_id_file = {_quoted(secret_id)}
path = "{CANARY_ROLE}/probe"
"""
    )


def write_private(path: Path, content: bytes) -> None:
    """A file for the owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _quoted(path: Path) -> str:
    return json.dumps(str(path))
