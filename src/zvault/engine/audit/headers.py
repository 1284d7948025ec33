"""Which request headers are written into audit records.

What lives here: the set that ``sys/config/auditing/request-headers`` manages. Invariant: header
names compare without case and appear in lower case; a header nobody named is never recorded.
"""

import asyncio
from collections.abc import Mapping, Sequence

from zvault.barrier.view import View
from zvault.engine.audit.hashing import Hasher
from zvault.records import gojson

KEY = "audited-headers-config/audited-headers"


class AuditedHeaders:
    """Lower-case header name → whether its values are hashed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._headers: dict[str, bool] = {}
        self._changing = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._headers)

    def all(self) -> dict[str, bool]:
        """Every configured header."""
        return dict(self._headers)

    async def load(self) -> None:
        """Read the set from storage. Raises RecordError, StorageError."""
        stored = await self._view.get(KEY)
        body = gojson.loads_object(stored) if stored is not None else {}
        self._headers = {
            name.lower(): bool(setting.get("hmac"))
            for name, setting in body.items()
            if isinstance(setting, dict)
        }

    async def set(self, name: str, *, hmac: bool) -> None:
        """Record this header from now on; durable on return."""
        async with self._changing:
            await self._save({**self._headers, name.lower(): hmac})

    async def remove(self, name: str) -> None:
        """Record it no more; absent is fine."""
        async with self._changing:
            kept = {key: hashed for key, hashed in self._headers.items() if key != name.lower()}
            await self._save(kept)

    async def _save(self, headers: dict[str, bool]) -> None:
        body = {name: {"hmac": hashed} for name, hashed in headers.items()}
        await self._view.put(KEY, gojson.dumps(body, newline=True))
        self._headers = headers

    def shown(self, headers: Mapping[str, Sequence[str]], hasher: Hasher) -> dict[str, list[str]]:
        """The configured ones among ``headers``, hashed where so configured."""
        found: dict[str, list[str]] = {}
        for name, values in headers.items():
            hashed = self._headers.get(name.lower())
            if hashed is not None:
                found[name.lower()] = [hasher.text(v) for v in values] if hashed else list(values)
        return found
