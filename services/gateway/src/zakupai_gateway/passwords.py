"""Passwords: hashed slowly, compared without telling who exists.

What lives here: argon2id in threads, how many at once, what a password must be. What never does:
where a hash is kept.
Invariants: a login with an unknown name costs what one with a known name costs; no more than
``AT_ONCE`` hashes are computed at a time, because each takes 64 MiB.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from zakupai_common.secret import Secret

AT_ONCE, WAITING = 2, 32
T = TypeVar("T")
SHORTEST, LONGEST = 12, 256
"""Characters; a limit above keeps hashing from becoming a load."""


class PasswordsBusyError(Exception):
    """More logins are waiting than can be served soon."""


class Passwords:
    """Argon2id with the parameters of RFC 9106, second recommendation (64 MiB, 3 passes)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(
            time_cost=3, memory_cost=64 * 1024, parallelism=4, type=Type.ID
        )
        self._nobody = self._hasher.hash("the password of nobody")
        self._threads = ThreadPoolExecutor(AT_ONCE, "zakupai-password")
        self._inside = 0

    async def hash(self, password: Secret[str]) -> str:
        """What to keep. Raises PasswordsBusyError."""
        return await self._run(lambda: self._hasher.hash(password.reveal()))

    async def matches(self, kept: str | None, password: Secret[str]) -> bool:
        """``kept`` None: an unknown name, never right. Raises PasswordsBusyError."""
        right = await self._run(lambda: self._verify(kept or self._nobody, password.reveal()))
        return right and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._inside >= AT_ONCE + WAITING:
            raise PasswordsBusyError
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1
