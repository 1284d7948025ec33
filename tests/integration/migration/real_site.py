"""A site of real processes: golden store, embedded server, agent, Caddy, SeaweedFS; and a client.

What lives here: making one below a folder, running zvault in it, stopping exactly what it started.
"""

import base64
import http.client
import json
import os
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.seaweed import Seaweed
from launcher.ports import free_ports
from tests.support.cli import Ran, zvault
from tests.support.golden import Golden, unpack
from tests.support.seaweed import fresh_bucket
from zvault.app.doors_process import agent_process, server_process
from zvault.app.site import Site, load_site

PASSWORD = "a password of more than thirty-two characters"
SERVICE = "gateway"


@dataclass
class RealSite:
    """One site; ``golden`` is the store it began with."""

    root: Path
    golden: Golden
    site: Site
    seaweed: Seaweed | None

    def run(self, *arguments: str | Path, timeout: float = 120) -> Ran:
        """``zvault ARGUMENTS`` in the site's folder."""
        return zvault(*arguments, cwd=self.root, timeout=timeout)

    def must(self, *arguments: str | Path, timeout: float = 120) -> Ran:
        """The same; anything but exit code 0 fails the test with what was said."""
        done = self.run(*arguments, timeout=timeout)
        assert done.code == 0, f"{arguments}: {done.code}\n{done.err}\n{done.out}\n{self.logs()}"
        return done

    def status(self) -> Any:
        return self.must("status", "--json").json()

    @property
    def shares(self) -> Path:
        return self.root / "shares.json"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def token_text(self) -> str:
        return self.token.read_text()

    def stand(self) -> None:
        """Stage 7, unsealed by hand."""
        self.must("stage", "up", "--stage", "7")
        address = f"http://{self.site.server.plain_address}"
        self.must("unseal", "--address", address, "--shares-file", self.shares)

    def kill_server(self) -> None:
        """kill -9."""
        process = server_process(self.site).read().process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    def logs(self) -> str:
        folder = self.site.places.log_file.parent
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted(folder.glob("*.log"))
            if path.name != "audit.log"
        )

    def stop(self) -> None:
        """Everything this site started, by its recorded pids."""
        zvault("stage", "down", cwd=self.root)
        zvault("frontdoor", "stop", cwd=self.root)
        for process in (agent_process(self.site), server_process(self.site)):
            seen = process.read().process
            if seen is not None and seen.alive():
                os.kill(seen.pid, signal.SIGKILL)


@contextmanager
def real_site(
    place: Path, seaweed: Seaweed | None, store: str = "vault-file"
) -> Iterator[RealSite]:
    """A site in stage 7 that nothing was started of yet."""
    golden = unpack(store, place / "golden")
    root = place / "site"
    creds = root / "monitoring/vault/creds"
    creds.mkdir(parents=True)
    golden.data.rename(root / "monitoring/vault/data")
    role = golden.expected["approle"][SERVICE]
    _private(root / "shares.json", json.dumps(golden.expected["shares"][:3]))
    _private(root / "token", golden.expected["root_token"])
    _private(root / "monitoring/vault/.unseal-password", PASSWORD + "\n")
    _private(creds / "canary-role-id", role["role_id"])
    _private(creds / "canary-secret-id", role["secret_id"])
    if seaweed is not None:
        _private(
            creds / "s3-credentials",
            f"aws_access_key_id = {seaweed.access_key_id}\n"
            f"aws_secret_access_key = {seaweed.secret_access_key}\n",
        )
    (root / "zvault.toml").write_text(_toml(seaweed))
    made = RealSite(root, golden, load_site(root / "zvault.toml"), seaweed)
    try:
        yield made
    finally:
        made.stop()


def _private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _toml(seaweed: Seaweed | None) -> str:
    ports = free_ports(4)
    bucket = fresh_bucket(seaweed) if seaweed else "no-bucket"
    endpoint = seaweed.endpoint if seaweed else "http://127.0.0.1:1"
    return f"""
name = "zakupai"
[server]
plain_address = "127.0.0.1:{ports[0]}"
tls_address = "127.0.0.1:{ports[1]}"
max_lease_ttl = "87600h"
[frontdoor]
plain_address = "127.0.0.1:{ports[2]}"
tls_address = "127.0.0.1:{ports[3]}"
[s3]
url = "s3://{bucket}/vault"
endpoint = "{endpoint}"
region = "us-east-1"
[unseal]
allow_password_beside_key_file = true
[canary]
role_id_file = "monitoring/vault/creds/canary-role-id"
secret_id_file = "monitoring/vault/creds/canary-secret-id"
mount = "zakupai"
path = "services/{SERVICE}/canary"
[limits]
quiet_seconds = 0.5
"""


@dataclass
class Client:
    """Writes and reads back unique values through the front door, all the time, never retrying."""

    site: Site
    token: str
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Version to number written."""
    failures: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    number: int = 0
    path: str = "zakupai/data/services/gateway/journey"
    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    """Services that log in as well, by name."""
    logins: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(90)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            self.number += 1
            number = self.number
            try:
                body = json.dumps({"data": {"number": number}})
                answer = self.ask("POST", self.path, body)
                self.acknowledged[answer["data"]["version"]] = number
                seen = self.ask("GET", self.path)["data"]["data"]["number"]
                if seen != number:
                    self.failures.append(f"wrote {number}, read {seen}")
                if self.roles and number % 3 == 0:
                    self._be_a_service(sorted(self.roles)[number // 3 % len(self.roles)])
            except (OSError, http.client.HTTPException, AssertionError, KeyError) as error:
                self.failures.append(f"{number}: {type(error).__name__} {error}")
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - begin)
            time.sleep(0.005)

    def _be_a_service(self, name: str) -> None:
        """Log in with the role_id and secret_id that the real Vault issued, read, log out."""
        role = self.roles[name]
        login = json.dumps({"role_id": role["role_id"], "secret_id": role["secret_id"]})
        token = self.ask("POST", "auth/approle/login", login)["auth"]["client_token"]
        mine = json.dumps({"data": {"service": name, "number": self.number}})
        self.ask("POST", f"zakupai/data/services/{name}/own", mine, token)
        read = self.ask("GET", f"zakupai/data/services/{name}/own", token=token)
        assert read["data"]["data"] == {"service": name, "number": self.number}
        self.ask("POST", "auth/token/revoke-self", token=token)
        self.logins += 1

    def ask(self, method: str, path: str, body: str | None = None, token: str | None = None) -> Any:
        """One request on a connection of its own, to where the address file says."""
        url = urlsplit(self.site.front_door.address_file.read_text().strip())
        host, port = url.hostname or "", url.port or 0
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.site.places.tls_dir / "ca.pem"))
            connection = http.client.HTTPSConnection(host, port, timeout=70, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=70)
        try:
            connection.request(method, f"/v1/{path}", body, {"X-Vault-Token": token or self.token})
            response = connection.getresponse()
            content = response.read()
            assert response.status in (200, 204), f"{response.status} {content[:200]!r}"
            return json.loads(content) if content else {}
        finally:
            connection.close()


def hex_shares(golden: Golden) -> list[str]:
    return [base64.b64decode(share).hex() for share in golden.expected["shares"]]
