"""What etl takes and gives, as JSON.

What lives here: requests and answers with their limits and examples. What never does: a rule.
"""

import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from zakupai_etl.entities import ENTITIES, EntityName
from zakupai_etl.runs.plan import PartStatus, Status

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0)]


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [members]})


class RunRequest(BaseModel):
    """``POST /runs``. Without ``days``: from where the last complete run ended."""

    model_config = _example(days=7, entities=["trd_buy", "lots"])
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    entities: Annotated[
        list[EntityName] | None,
        Field(min_length=1, max_length=len(ENTITIES), description="null: all of them"),
    ] = None


class Counts(BaseModel):
    """``read`` is the sum of the others."""

    read: Count
    inserted: Count
    updated: Count
    unchanged: Count
    refused: Count


class PartAnswer(Counts):
    """One entity of a run. ``cursor``: everything up to this key is kept and counted."""

    entity: EntityName
    status: PartStatus
    cursor: Count
    pages: Count
    expected: int | None = Field(description="How many goszakup says there are")
    failure: str | None


class RunAnswer(BaseModel):
    """A run, as it is in PostgreSQL now."""

    run_id: int
    status: Status
    window_from: datetime.datetime
    window_to: datetime.datetime
    requested_by: str
    started_at: datetime.datetime
    moved_at: datetime.datetime = Field(description="When something was last written for it")
    ended_at: datetime.datetime | None
    waiting_for: str | None = Field(description="Why the next page is not asked for yet")
    waiting_until: datetime.datetime | None
    totals: Counts
    parts: list[PartAnswer]
    resumable: bool


class Runs(BaseModel):
    """``GET /runs``, newest first; ``next`` is the ``before`` of the next page."""

    items: list[RunAnswer]
    next: int | None


class RefusedRecord(BaseModel):
    """A record of goszakup that is not stored."""

    number: int
    record_id: str | None
    reason: str
    record: str = Field(description="What came, at most 4,000 characters of it")


class RefusedRecords(BaseModel):
    """``GET /runs/{run_id}/refused/{entity}``; ``next`` is the ``after`` of the next page."""

    items: list[RefusedRecord]
    next: int | None


class RecordAnswer(BaseModel):
    """A record as it is kept. ``listed``: BINs of it that are among the unscrupulous now."""

    entity: EntityName
    record_id: int
    values: dict[str, str | int | Decimal | datetime.datetime | None]
    listed: list[str]
    first_run_id: int
    changed_run_id: int
    changed_at: datetime.datetime


class RowErrorAnswer(BaseModel):
    """Why a row was not taken; ``column`` null: because of the row as a whole."""

    row: int
    column: str | None
    reason: str


class UploadAnswer(BaseModel):
    """An upload as it is kept. ``rows_read`` is accepted and refused together.

    ``repeated``: these bytes were here already, and nothing was done.
    """

    upload_id: int
    repeated: bool
    form: str
    encoding: str | None
    sha256: str
    size_bytes: int
    rows_read: Count
    rows_accepted: Count
    rows_refused: Count
    errors: list[RowErrorAnswer] = Field(description="At most 1,000")
    uploaded_at: datetime.datetime


class UploadedRow(BaseModel):
    """A row that was taken."""

    row: int
    bin: str
    amount: Decimal
    status: str


class UploadedRows(BaseModel):
    """``GET /uploads/{upload_id}/rows``; ``next`` is the ``after`` of the next page."""

    items: list[UploadedRow]
    next: int | None


class FetchRequest(BaseModel):
    """``POST /attachments``. ``again``: also if it was fetched in the last 24 hours."""

    model_config = _example(url="https://v3bl.goszakup.gov.kz/files/download_file/17", again=False)
    url: Annotated[
        str, Field(min_length=1, max_length=2000, description="https, a host of the list")
    ]
    again: bool = False


class AttachmentAnswer(BaseModel):
    """A file that is kept. ``kind`` is told by its first bytes, not by its name."""

    attachment_id: int
    url: str
    sha256: str
    kind: str
    size_bytes: int
    first_fetched_at: datetime.datetime
    fetched_at: datetime.datetime


class Attachments(BaseModel):
    """``GET /attachments``, newest first; ``next`` is the ``before`` of the next page."""

    items: list[AttachmentAnswer]
    next: int | None
