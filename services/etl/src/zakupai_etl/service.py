"""What etl declares.

What lives here: the declaration and the command. What never does: a route.
"""

from zakupai_common.web.run import exit_with
from zakupai_common.web.service import Service
from zakupai_etl import attachment_routes, run_routes, upload_routes
from zakupai_etl.engine import FOLDER_OPTION, GOSZAKUP_TOKEN, HOSTS_OPTION, LOOK_OPTION, engine

SERVICE = Service(
    name="etl",
    package="zakupai_etl",
    version="0.1.0",
    title="ZakupAI etl",
    description="Procurement data from goszakup, from uploaded tables and from attached files.",
    routers=(run_routes.router, upload_routes.router, attachment_routes.router),
    secrets=(GOSZAKUP_TOKEN,),
    database=True,
    urls=("goszakup",),
    body_limits={upload_routes.PATH: upload_routes.BODY_BYTES},
    options=(FOLDER_OPTION, HOSTS_OPTION, LOOK_OPTION),
    lifetimes=(engine,),
)


def main() -> None:
    """``zakupai-etl serve|migrate``."""
    exit_with(SERVICE)
