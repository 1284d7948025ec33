"""Options of ``zvault backup``: which store, which place, which backup.

What lives here: options. What never does: the work.
"""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_STORE = "file:monitoring/vault/data"
DEFAULT_PLACE = "file:monitoring/vault/backups"

StoreOption = Annotated[str, typer.Option("--store", help="The store to back up.")]
PlaceOption = Annotated[
    str, typer.Option("--to", "--from", help="Where backups are: file:DIR or s3://BUCKET/PREFIX.")
]
PlaceEndpointOption = Annotated[
    str, typer.Option("--place-endpoint", help="S3 endpoint of that place, when it differs.")
]
PlaceCredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--place-credentials-file", help="S3 credentials of that place, when they differ."
    ),
]
NameArgument = Annotated[
    str, typer.Argument(help="A backup's name in that place, or 'latest' for the newest verified.")
]
