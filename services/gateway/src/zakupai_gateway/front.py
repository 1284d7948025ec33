"""The door: what goes to a service and what the gateway answers itself.

What lives here: one ASGI middleware. What never does: a decision about who may pass to a service.
Invariant: metrics and readiness are for operators, whose networks are declared.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_common.vault.errors import StaleSecretError
from zakupai_common.web.errors import ProblemError, unavailable
from zakupai_common.web.parts import Parts
from zakupai_gateway.client_address import within
from zakupai_gateway.gate import HIDDEN, address_of, websocket_refused
from zakupai_gateway.gateway import Gateway


class Front:
    """The gate gets what is below ``/api/``, ``app`` the rest."""

    def __init__(self, app: ASGIApp, gateway: Callable[[], Gateway]) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse(scope, send)
            return
        if scope["type"] == "http":
            gateway = self._gateway()
            if scope["raw_path"].startswith(b"/api/"):
                try:
                    await gateway.gate(scope, receive, send)
                except StaleSecretError:  # neither believe nor vouch with keys that are too old
                    raise unavailable("Vault", 5) from None
                return
            if scope["path"] in HIDDEN and not within(
                address_of(scope, gateway.trusted).partition("/")[0], gateway.operators
            ):
                raise ProblemError(404, "not-found", "nothing is here")
        await self._app(scope, receive, send)


def front(app: ASGIApp, parts: Parts) -> Front:
    """The gateway's guard."""
    return Front(app, lambda: parts.own(Gateway))


async def _refuse(scope: Scope, send: Send) -> None:
    """A server that speaks WebSocket lets us answer in HTTP before the handshake, or close."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003})
        return

    async def send_as_response(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await websocket_refused().send(send_as_response)
