"""What calc declares.

What lives here: the declaration and the command. What never does: a route.
"""

from zakupai_calc.routes import router
from zakupai_common.web.run import exit_with
from zakupai_common.web.service import Service

SERVICE = Service(
    name="calc",
    package="zakupai_calc",
    version="0.1.0",
    title="ZakupAI calc",
    description="VAT, margin, penalty and profit in exact decimals, with their history.",
    routers=(router,),
    database=True,
)


def main() -> None:
    """``zakupai-calc serve|migrate``."""
    exit_with(SERVICE)
