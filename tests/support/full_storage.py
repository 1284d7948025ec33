"""A storage that has no space left, for as long as a test wants."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.running import Running
from zvault.storage.errors import DiskFullError


@contextmanager
def full_storage(server: Running) -> Iterator[None]:
    """Inside the block nothing is stored."""
    storage = server.core.storage
    apply = storage.apply

    async def full(operations: object) -> None:
        raise DiskFullError("no space left", provider="test", store="memory", key="k")

    storage.apply = full  # type: ignore[method-assign]
    try:
        yield
    finally:
        storage.apply = apply  # type: ignore[method-assign]
