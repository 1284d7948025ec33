"""The door: what goes to a service and what the gateway answers itself.

What lives here: one ASGI middleware. What never does: a decision about who may pass.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_gateway.gate import websocket_refused


class Front:
    """``gate`` gets what is below ``/api``, ``app`` the rest."""

    def __init__(self, app: ASGIApp, gate: ASGIApp) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"].startswith(b"/api/"):
            await self._gate(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refuse(scope, send)
        else:
            await self._app(scope, receive, send)


async def _refuse(scope: Scope, send: Send) -> None:
    """A server that speaks WebSocket lets us answer in HTTP before the handshake, or close."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003})
        return

    async def send_as_response(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await websocket_refused().send(send_as_response)
