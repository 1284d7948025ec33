"""The embedded server's wiring: which storage and which engine a configuration means.

What lives here: concrete classes chosen, and the program from configuration to exit. What never
does: their work. What is heavy to import and not always needed is imported where it is chosen, so
that a server on files starts without it.
"""

import contextlib
import gc
import logging
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from zvault.base.clock import SystemClock
from zvault.base.errors import InterruptedRunError
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.server.banner import banner
from zvault.server.config import ServerConfig
from zvault.server.config_files import load
from zvault.server.lifecycle import Server
from zvault.server.logs import configure
from zvault.server.settings import FileSettings, S3Settings
from zvault.storage.api import Storage
from zvault.storage.inmem import InMemStorage

_COLLECT_AFTER = (20_000, 20, 20)
"""New containers before the collector looks at the young ones, and how often it looks further."""
_SWITCH_SECONDS = 0.0005
"""So long a thread whose fsync is over waits for its turn at most. Python's own 5 ms are as long as
the fsync itself, and everybody whose write was in it waits too."""

log = logging.getLogger("zvault.server")


def build_storage(config: ServerConfig) -> Storage:
    """The storage, opened and locked. Raises StorageError and its kinds."""
    settings = config.storage
    if isinstance(settings, FileSettings):
        from zvault.storage.file import DEFAULT_CACHE_BYTES, FileStorage
        from zvault.storage.file_writing import LogOptions

        cache_bytes = 0 if config.disable_cache else DEFAULT_CACHE_BYTES
        return FileStorage.open(
            settings.path, fsync=settings.fsync, log=LogOptions(), cache_bytes=cache_bytes
        )
    if isinstance(settings, S3Settings):
        from zvault.app.serving_s3 import build_s3_storage

        return build_s3_storage(settings, disable_cache=config.disable_cache)
    return InMemStorage()


def api_address(config: ServerConfig) -> str:
    """``api_addr``, else the first TCP listener's address as a URL."""
    if config.api_addr:
        return config.api_addr
    for listener in config.listeners:
        if listener.kind == "tcp":
            return f"{'https' if listener.tls else 'http'}://{listener.address}"
    return ""


def cluster_address(config: ServerConfig) -> str:
    """What a real server would say: its API's host, one port further, always TLS."""
    host, colon, port = api_address(config).rpartition("://")[2].rstrip("/").rpartition(":")
    return f"https://{host}:{int(port) + 1}" if colon and port.isdecimal() else ""


def build_core(config: ServerConfig, storage: Storage) -> Core:
    """The engine over it, sealed and not started."""
    settings = CoreSettings(
        default_lease_ttl_ns=config.default_lease_ttl_ns,
        max_lease_ttl_ns=config.max_lease_ttl_ns,
        storage_type=config.storage.kind,
        cluster_name=config.cluster_name,
        api_address=api_address(config),
        cluster_address=cluster_address(config),
        audit=tuple(config.audit),
        raw_storage=config.raw_storage,
    )
    return Core(storage, settings, clock=SystemClock(), random_bytes=os.urandom)


def run_server(paths: Sequence[Path]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ZvaultError: the configuration, the store or an address cannot be used;
    InterruptedRunError when a request had to be cut off at the end.
    """
    _raise_file_limit()
    config = load(paths)
    configure(config.log)
    for warning in config.warnings:
        log.warning("%s", warning)
    _calm_collector()
    sys.setswitchinterval(_SWITCH_SECONDS)
    cut_off = uvloop.run(_serve(config, lambda: load(paths)))
    if cut_off:
        raise InterruptedRunError(
            f"{cut_off} requests had not finished when the server stopped",
            hint="look for a stalled disk or object storage",
        )


def _calm_collector() -> None:
    """Look for cycles seldom: almost nothing here is one, and each look makes a request wait.

    What is loaded by now lives as long as the program and is never looked at again; an unsealed
    store comes later, so that sealing still gets rid of all of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _raise_file_limit() -> None:
    """Every connection is a descriptor; the soft limit is often 1,024, the hard one far above."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(config: ServerConfig, reread: Callable[[], ServerConfig]) -> int:
    storage = build_storage(config)
    try:
        core = build_core(config, storage)
        return await Server(config, core, reread=reread).serve(
            lambda bound: _print_banner(config, bound)
        )
    finally:
        await storage.close()


def _print_banner(config: ServerConfig, bound: Sequence[str]) -> None:
    sys.stdout.write("\n".join(banner(config, bound, CoreSettings().version)) + "\n")
    sys.stdout.flush()
