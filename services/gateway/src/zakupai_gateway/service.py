"""What the gateway declares.

What lives here: the declaration and the command. What never does: a route.
"""

from zakupai_common.web.run import exit_with
from zakupai_common.web.service import Service
from zakupai_gateway.front import front
from zakupai_gateway.gateway import IDENTITY_KEYS, OPTIONS, SIGNING_KEYS, gateway
from zakupai_gateway.routes import router

SERVICE = Service(
    name="gateway",
    package="zakupai_gateway",
    version="0.1.0",
    title="ZakupAI gateway",
    description="Logins, API keys, limits, and the way to every service behind it.",
    routers=(router,),
    secrets=(SIGNING_KEYS, *IDENTITY_KEYS.values()),
    database=True,
    redis=True,
    lifetimes=(gateway,),
    options=OPTIONS,
    guard=front,
)


def main() -> None:
    """``zakupai-gateway serve|migrate``."""
    exit_with(SERVICE)
