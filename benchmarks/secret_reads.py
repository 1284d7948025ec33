"""What services feel: a read of a secret, and a thousand services coming back after an outage.

What lives here: the figures of ``zakupai_common`` beside hvac's own on the same OpenBao. What never
does: the server's figures.
Invariant: the thousand services are a thousand ``SecretStore``s, each with its own thread and
connection; nothing is simulated but that they share this process.
"""

import logging
import resource
import statistics
import tempfile
import threading
import time
import timeit
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hvac
import requests

from benchmarks.servers import Access, BenchError, BenchServer
from zakupai_common.secret import Secret
from zakupai_common.vault import Declared, Pace, SecretStore, VaultSettings
from zakupai_common.vault.private_file import write_private
from zakupai_common.vault.transport import BoundedSession

MAX_READ_US = 1.0
SERVICES = 1_000
OUTAGE_SECONDS = 45.0
TOKEN_TTL = "30s"
KEY = Declared("value", "s/7", "value")
LOGIN = "/v1/auth/approle/login"
Seen = tuple[float, str, int, float]
"""When a request was sent, its path, the answer's status, how long it took."""


@dataclass(frozen=True, slots=True)
class SecretFigures:
    """Microseconds, seconds and counts."""

    store_read_us: float
    hvac_read_us: float
    services: int
    outage_seconds: float
    back_after_seconds: float
    """From the unsealing until the last service had a new token and all its values."""
    busiest_second_logins: int
    login_p99_ms: float
    server_errors: int
    """Answers 5xx after the unsealing."""
    at_once_p99_ms: float
    """The same number of logins without any spread."""
    at_once_failed: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def broken(self) -> list[str]:
        """Promises that do not hold."""
        found = []
        if self.store_read_us > MAX_READ_US:
            found.append(f"a SecretStore read takes {self.store_read_us:.2f} us, promised 1")
        if self.server_errors:
            found.append(f"{self.server_errors} answers 5xx after the outage, promised none")
        if self.busiest_second_logins > self.services / 4:
            found.append(f"{self.busiest_second_logins} logins in one second are a storm")
        return found

    def lines(self) -> str:
        times = self.hvac_read_us / self.store_read_us
        return (
            "secrets of a service\n"
            f"  SecretStore read, no I/O: {self.store_read_us:.2f} us; "
            f"hvac read of the same secret: {self.hvac_read_us:,.0f} us ({times:,.0f} x)\n"
            f"  {self.services:,} services whose tokens ended in an outage of "
            f"{self.outage_seconds:.0f} s: all back {self.back_after_seconds:.1f} s after it, "
            f"{self.busiest_second_logins} logins in the busiest second, login p99 "
            f"{self.login_p99_ms:.0f} ms, {self.server_errors} answers 5xx\n"
            f"  the same logins all at once: p99 {self.at_once_p99_ms:,.0f} ms, "
            f"{self.at_once_failed} failed\n\n"
        )


def measure_secrets(openbao: BenchServer, services: int = SERVICES) -> SecretFigures:
    """All figures on a running, unsealed OpenBao. Raises BenchError."""
    assert openbao.access is not None
    logging.getLogger("zakupai_common.vault").setLevel(logging.ERROR)
    _allow_connections(services * 2 + 200)
    with tempfile.TemporaryDirectory(prefix="zakupai-bench-") as directory:
        settings = _deliver(openbao.access, Path(directory))
        store_us, hvac_us = _reads(settings, openbao.access)
        client = hvac.Client(url=openbao.address, token=openbao.root_token)
        client.auth.approle.create_or_update_approle(
            "bench", token_policies=["bench"], token_ttl=TOKEN_TTL, token_max_ttl="4h"
        )
        at_once = _at_once(openbao.access, services)
        outage = _outage(openbao, client, settings, services)
    return SecretFigures(
        store_us, hvac_us, services, OUTAGE_SECONDS, *outage, _p99(at_once[0]), at_once[1]
    )


def _allow_connections(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def _deliver(access: Access, directory: Path) -> VaultSettings:
    write_private(directory / "role-id", Secret(access.role_id))
    write_private(directory / "secret-id", Secret(access.secret_id))
    return VaultSettings(
        access.address,
        directory / "role-id",
        directory / "secret-id",
        kv_mount="kv",
        timeout_seconds=30.0,
    )


def _reads(settings: VaultSettings, access: Access) -> tuple[float, float]:
    """Microseconds a read: the store's best slice of a millisecond, hvac's median."""
    loops = 2_000
    with SecretStore(settings, [KEY]) as store:
        best = min(timeit.repeat(lambda: store[KEY].reveal(), number=loops, repeat=500)) / loops
        client = hvac.Client(url=settings.address, token=access.token)
        durations = []
        for _ in range(500):
            begun = time.perf_counter()
            read = client.secrets.kv.v2.read_secret_version(
                path=KEY.path, mount_point="kv", raise_on_deleted_version=True
            )
            durations.append(time.perf_counter() - begun)
        if read["data"]["data"]["value"] != store[KEY].reveal():
            raise BenchError("the store and hvac read different values")
    return best * 1e6, statistics.median(durations) * 1e6


def _at_once(access: Access, services: int) -> tuple[list[float], int]:
    """Every service logs in at the same moment: durations, and how many failed."""
    ready = threading.Barrier(services)
    durations: list[float] = []
    failed: list[str] = []

    def service() -> None:
        client = hvac.Client(url=access.address, token="", timeout=60)
        ready.wait()
        begun = time.perf_counter()
        try:
            client.auth.approle.login(access.role_id, access.secret_id, use_token=False)
            durations.append(time.perf_counter() - begun)
        except (hvac.exceptions.VaultError, requests.exceptions.RequestException) as error:
            failed.append(type(error).__name__)

    threads = [threading.Thread(target=service) for _ in range(services)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return durations, len(failed)


def _outage(
    openbao: BenchServer, client: hvac.Client, settings: VaultSettings, services: int
) -> tuple[float, int, float, int]:
    """Seconds until all are back, logins in the busiest second, their p99 in ms, answers 5xx."""
    pace = Pace(start=300.0)
    stores = [SecretStore(settings, [KEY], pace=pace) for _ in range(services)]
    with ExitStack() as running:
        for store in stores:
            running.callback(store.close)
        with ThreadPoolExecutor(32) as starters:
            list(starters.map(SecretStore.start, stores))
        client.sys.seal()
        time.sleep(OUTAGE_SECONDS)
        before = {id(store): store.health().counts.logins for store in stores}
        with _requests_seen() as seen:
            client.sys.submit_unseal_keys(openbao.shares)
            unsealed_at = time.perf_counter()
            while any(
                not store.health().fresh or store.health().counts.logins == before[id(store)]
                for store in stores
            ):
                if time.perf_counter() - unsealed_at > 300:
                    raise BenchError("after five minutes not every service was back")
                time.sleep(0.1)
            back_after = time.perf_counter() - unsealed_at
    after = [one for one in seen if one[0] >= unsealed_at]
    logins = [one for one in after if one[1] == LOGIN and one[2] == 200]
    busiest = Counter(int(begun - unsealed_at) for begun, *_ in logins).most_common(1)[0][1]
    errors = sum(1 for one in after if one[2] >= 500)
    return back_after, busiest, _p99([one[3] for one in logins]), errors


@contextmanager
def _requests_seen() -> Iterator[list[Seen]]:
    seen: list[Seen] = []
    send = BoundedSession.send

    def watched(
        self: BoundedSession, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        begun = time.perf_counter()
        response = send(self, request, **options)
        took = time.perf_counter() - begun
        seen.append((begun, request.path_url, response.status_code, took))
        return response

    BoundedSession.send = watched  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        BoundedSession.send = send  # type: ignore[method-assign]


def _p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return statistics.quantiles(seconds, n=100)[98] * 1000
