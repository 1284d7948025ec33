"""Passwords of userpass: bcrypt, off the event loop.

What lives here: hashing, checking, and what may be given as a ready-made hash. What never does:
users, storage.
Invariants: a check costs the same whether there is such a user or not; no more than two checks run
at a time, so a flood of logins does not take the processor from everything else.
"""

import asyncio
import base64
import binascii
import hmac
import re
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.records.userpass import UserEntry

COST = 10
"""Vault's, as the exponent of two."""
MAX_PASSWORD_BYTES = 72
"""Bcrypt's own limit."""
_MIN_COST, _MAX_COST = 5, 16
"""Of a hash that is given: cheap ones are guessed, dear ones keep the server busy for minutes."""
_FORM = re.compile(r"\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}")
_NOBODY = b"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
"""Checked where there is no user; what it is the hash of does not matter, it never lets in."""


class Passwords:
    """Hashes and checks for one mount; ``close`` it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="bcrypt")

    async def hashed(self, password: str) -> str:
        """The stored form of a new password. Raises InternalEngineError when it is too long."""
        plain = password.encode("utf-8", "surrogatepass")
        if len(plain) > MAX_PASSWORD_BYTES:
            # The status is Vault's.
            raise InternalEngineError(
                "1 error occurred:\n\t* bcrypt: password length exceeds 72 bytes\n\n"
            )
        return _stored(await self._run(_hash, plain))

    async def fits(self, user: UserEntry | None, password: str) -> bool:
        """The password is that of the user; never so for no user."""
        plain = password.encode("utf-8", "surrogatepass")
        known = _NOBODY
        if user is not None and user.password_hash:
            known = _bcrypt_text(user.password_hash) or _NOBODY
        matches = await self._run(_check, plain, known)
        if user is not None and not user.password_hash and user.password:
            return hmac.compare_digest(user.password.encode(), plain)
        return bool(matches) and known != _NOBODY

    async def _run(self, act: object, *values: bytes) -> bytes | bool:
        loop = asyncio.get_running_loop()
        result: bytes | bool = await loop.run_in_executor(self._pool, act, *values)  # type: ignore[arg-type]
        return result

    def close(self) -> None:
        """Let go of the threads; what they have begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def given_hash(text: str) -> str:
    """The stored form of a ready-made hash. Raises InvalidRequestError."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise InvalidRequestError("password_hash is not a valid bcrypt hash")
    cost = int(form[1])
    if cost < _MIN_COST:
        raise InvalidRequestError(f"bcrypt cost of {cost} is too low, want {_MIN_COST} at minimum")
    if cost > _MAX_COST:
        raise InvalidRequestError(f"bcrypt cost of {cost} is too high, want {_MAX_COST} at most")
    return _stored(text.encode())


def _stored(text: bytes | bool) -> str:
    assert isinstance(text, bytes)
    return base64.b64encode(text).decode()


def _bcrypt_text(stored: str) -> bytes:
    try:
        return base64.b64decode(stored, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _hash(plain: bytes) -> bytes:
    return bcrypt.hashpw(plain, bcrypt.gensalt(COST, b"2a"))


def _check(plain: bytes, known: bytes) -> bool:
    # Real servers compare what bcrypt can take in, and ignore the rest of a longer password.
    try:
        return bcrypt.checkpw(plain[:MAX_PASSWORD_BYTES], known)
    except ValueError:
        # A hash of another form: nothing fits it.
        return bcrypt.checkpw(plain[:MAX_PASSWORD_BYTES], _NOBODY) and False
