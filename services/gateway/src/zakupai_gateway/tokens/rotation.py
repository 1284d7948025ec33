"""Exchanging the signing keys in Vault, and the first of them.

What lives here: one change of ``services/gateway/jwt`` with check-and-set. What never does: a
gateway; it only reads.
Invariant: a new key signs only after every gateway has had time to read it, and an old one stays
until its last token has ended, so an exchange logs nobody out, and neither does a lost one.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

import hvac
from hvac.exceptions import InvalidPath, InvalidRequest

from zakupai_gateway.tokens.keyring import KeyRing, KeyRingError, first_ring

PATH, FIELD = "services/gateway/jwt", "keys"
KNOWN_AFTER_SECONDS = 900
"""A gateway reads its secrets again every 60 s; this leaves room for a Vault that is sealed."""


def new_kid(now: int) -> str:
    """A name that tells the key's age."""
    return f"{time.strftime('%Y%m%d', time.gmtime(now))}-{uuid.uuid4().hex[:8]}"


def first_signing_keys() -> list[dict[str, Any]]:
    """What a fresh Vault gets: one key that signs at once."""
    now = int(time.time())
    return [key.stored() for key in first_ring(new_kid(now), now).keys]


def read_ring(client: hvac.Client, mount: str) -> tuple[KeyRing, dict[str, Any], int]:
    """The ring in Vault, everything at its path, and the version. Raises as ``rotate``."""
    try:
        found = client.secrets.kv.v2.read_secret_version(
            PATH, mount_point=mount, raise_on_deleted_version=True
        )["data"]
    except InvalidPath:
        raise KeyRingError(f"there are no signing keys at {mount}/{PATH}") from None
    content = dict(found["data"])
    return KeyRing.read(content.get(FIELD) or []), content, int(found["metadata"]["version"])


def rotate(
    client: hvac.Client,
    mount: str,
    *,
    token_seconds: int,
    known_after_seconds: int = KNOWN_AFTER_SECONDS,
    clock: Callable[[], float] = time.time,
) -> KeyRing:
    """Add a key that signs later, drop those that are over; the ring as it is now in Vault.

    ``client`` needs ``read`` and ``update`` on the path. Raises KeyRingError when what is there
    are no keys or was changed at the same moment, hvac's errors otherwise.
    """
    before, content, version = read_ring(client, mount)
    now = int(clock())
    ring = before.rotated(
        new_kid(now), now, known_after_seconds=known_after_seconds, token_seconds=token_seconds
    )
    stored = {**content, FIELD: [key.stored() for key in ring.keys]}
    try:
        client.secrets.kv.v2.create_or_update_secret(PATH, stored, cas=version, mount_point=mount)
    except InvalidRequest:
        raise KeyRingError("somebody else changed the keys at the same moment") from None
    return ring
