"""A quorum at work on a running engine: rekey and generate-root, share by share."""

from collections.abc import Sequence
from typing import Any

from tests.support.running import Running
from zvault.engine.api import Operation


async def ask(
    server: Running, operation: Operation, path: str, data: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One call below ``sys/`` without a token; {} for "nothing"."""
    response = await server.call(operation, f"sys/{path}", data, token="")
    return {} if response is None else dict(response.data or {})


async def put(server: Running, path: str, **data: Any) -> dict[str, Any]:
    """One write without a token."""
    return await ask(server, Operation.UPDATE, path, data)


async def get(server: Running, path: str) -> dict[str, Any]:
    """One read without a token."""
    return await ask(server, Operation.READ, path)


async def rekey(
    server: Running, shares: int, threshold: int, *, verified: bool = False, use: Sequence[str] = ()
) -> dict[str, Any]:
    """Begin one and give the server's shares (or ``use``); the last answer."""
    begun = await put(
        server,
        "rekey/init",
        secret_shares=shares,
        secret_threshold=threshold,
        require_verification=verified,
    )
    answer = begun
    for key in use or [key.hex() for key in server.keys[: begun["required"]]]:
        answer = await put(server, "rekey/update", key=key, nonce=begun["nonce"])
    return answer


async def verify(server: Running, handed_out: dict[str, Any], threshold: int) -> dict[str, Any]:
    """Give the new shares back; the last answer."""
    answer: dict[str, Any] = {}
    for key in handed_out["keys"][:threshold]:
        answer = await put(server, "rekey/verify", key=key, nonce=handed_out["verification_nonce"])
    return answer


def as_shares(answer: dict[str, Any]) -> list[bytes]:
    """The shares in an answer."""
    return [bytes.fromhex(key) for key in answer["keys"]]
