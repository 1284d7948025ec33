"""What risk-engine declares.

What lives here: the declaration and the command. What never does: a route.
"""

from zakupai_common.web.metrics_port import OPTION, metrics_port
from zakupai_common.web.run import exit_with
from zakupai_common.web.service import Service
from zakupai_risk_engine import risk_routes, rnu_routes
from zakupai_risk_engine.engine import BOT_TOKEN, GOSZAKUP_TOKEN, ROUND_OPTION, engine

SERVICE = Service(
    name="risk-engine",
    package="zakupai_risk_engine",
    version="0.1.0",
    title="ZakupAI risk-engine",
    description="Scores lots with reasons, knows which suppliers are blocked, tells about changes.",
    routers=(risk_routes.router, rnu_routes.router),
    secrets=(GOSZAKUP_TOKEN, BOT_TOKEN),
    database=True,
    redis=True,
    urls=("goszakup", "telegram"),
    options=(OPTION, ROUND_OPTION),
    lifetimes=(engine, metrics_port(9102)),
)


def main() -> None:
    """``zakupai-risk-engine serve|migrate``."""
    exit_with(SERVICE)
