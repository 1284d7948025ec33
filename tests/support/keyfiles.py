"""Key files for tests: the least iterations the policy allows, random bytes from a seed."""

import random

from zvault.base.secret import Secret
from zvault.ops.unseal.keyfile import seal_key_file
from zvault.ops.unseal.keyfile_header import MIN_ITERATIONS, VaultIdentity

PASSWORD = Secret("a password of more than thirty-two characters")
VAULT = VaultIdentity("f" * 64, name="test")


def make_shares(count: int, seed: int = 1) -> list[Secret]:
    """Random shares of the usual length with distinct last bytes; they open nothing."""
    source = random.Random(seed)
    return [Secret(source.randbytes(32) + bytes([x + 1])) for x in range(count)]


def make_key_file(
    shares: list[Secret] | None = None,
    *,
    threshold: int = 3,
    password: Secret = PASSWORD,
    iterations: int = MIN_ITERATIONS,
    seed: int = 2,
) -> bytes:
    """A good key file of format version 1."""
    return seal_key_file(
        make_shares(3) if shares is None else shares,
        password,
        threshold=threshold,
        total=5,
        vault=VAULT,
        created="2026-11-21T00:00:00Z",
        random_bytes=random.Random(seed).randbytes,
        iterations=iterations,
    )
