"""What billing declares.

What lives here: the declaration, its secrets and metrics, the command. What never does: a route.
"""

from zakupai_billing.account_routes import router as account_router
from zakupai_billing.key_routes import router as key_router
from zakupai_billing.metrics import metrics
from zakupai_billing.payment_routes import router as payment_router
from zakupai_billing.pepper import PEPPER, PREVIOUS_PEPPER
from zakupai_common.web.run import exit_with
from zakupai_common.web.service import Service

SERVICE = Service(
    name="billing",
    package="zakupai_billing",
    version="0.1.0",
    title="ZakupAI billing",
    description="Users, plans, payments and API keys; requests are checked and counted at once.",
    routers=(account_router, key_router, payment_router),
    secrets=(PEPPER, PREVIOUS_PEPPER),
    database=True,
    lifetimes=(metrics,),
)


def main() -> None:
    """``zakupai-billing serve|migrate``."""
    exit_with(SERVICE)
