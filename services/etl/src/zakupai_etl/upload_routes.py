"""The routes about uploads.

What lives here: from a body to a kept upload and the answer. What never does: a file format.
Invariant: an answer that names an upload is sent only after it is kept; a file with errors is kept
only when the client asked for the rest of it.
"""

import asyncio
import logging
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Row
from starlette.requests import ClientDisconnect

from zakupai_common.web.errors import ProblemError, problem_responses, unavailable
from zakupai_common.web.identity import Caller, CallerDependency, need_scope
from zakupai_common.web.parts import Parts, PartsDependency
from zakupai_etl.engine import Engine
from zakupai_etl.models import Id, RowErrorAnswer, UploadAnswer, UploadedRow, UploadedRows
from zakupai_etl.uploads import store
from zakupai_etl.uploads.read import CSV, XLSX, ReadFile, read_file
from zakupai_etl.uploads.rows import FileError
from zakupai_etl.uploads.spool import spooled

router = APIRouter(tags=["uploads"])
PATH = "/upload-batch"
BODY_BYTES = 10 * 1024 * 1024
"""Of CSV and of XLSX. The gateway lets more through to etl, and no other route takes as much."""
WRITE, ADMIN = "etl:write", "etl:admin"
_XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMS = {"text/csv": CSV, _XLSX_TYPE: XLSX}
_TOLD_ERRORS = 100
_log = logging.getLogger("zakupai.etl.uploads")


class OnErrors(StrEnum):
    """What becomes of a file when some of its rows are wrong."""

    REFUSE = "refuse"
    """Nothing of it is kept."""
    SKIP = "skip"
    """The rows that are right are kept."""


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself: CSV (UTF-8 or Windows-1251; comma, semicolon, tab or bar) "
        "or XLSX (first sheet), at most 10 MiB and 100,000 rows; the first row names the columns "
        "bin, amount, status.",
        "content": {
            "text/csv": {
                "schema": {"type": "string", "format": "binary"},
                "example": "bin,amount,status\n123456789012,1500.50,NEW\n",
            },
            _XLSX_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    PATH,
    operation_id="uploadBatch",
    status_code=201,
    dependencies=[need_scope(WRITE)],
    openapi_extra=_BODY,
    responses={
        200: {"model": UploadAnswer, "description": "These bytes were uploaded already"},
        **problem_responses(415),
    },
)
async def upload_batch(
    request: Request,
    parts: PartsDependency,
    caller: CallerDependency,
    response: Response,
    on_errors: Annotated[OnErrors, Query(description="What a wrong row does")] = OnErrors.REFUSE,
) -> UploadAnswer:
    """Upload a table. Needs the scope ``etl:write``."""
    form = _form(request.headers.get("content-type", ""))
    engine = parts.own(Engine)
    try:
        async with spooled(request) as body:
            known = await _known(parts, caller, body.sha256)
            if known is not None:
                response.status_code = 200
                return _answer(known, repeated=True)
            async with engine.readers:
                found = await asyncio.to_thread(read_file, body.path, form)
    except FileError as error:
        raise ProblemError(422, error.slug, str(error)) from None
    except ClientDisconnect:
        raise ProblemError(400, "body-incomplete", "the body did not come to its end") from None
    except OSError as error:
        _log.error("the folder of temporary files: %s", type(error).__name__)
        raise unavailable("the disk for uploads", 60) from None
    if found.errors_count and (on_errors is OnErrors.REFUSE or not found.rows):
        engine.metrics.uploaded(0, found.rows_read)
        raise _rows_refused(found)
    async with parts.database.begin(store.DEADLINE_SECONDS) as connection:
        row, new = await store.keep(
            connection,
            found,
            sha256=body.sha256,
            size_bytes=body.size_bytes,
            user=caller.user,
            request_id=caller.request_id,
            now=parts.clock(),
        )
    if new:
        engine.metrics.uploaded(len(found.rows), found.rows_refused)
    else:
        response.status_code = 200
    response.headers["Location"] = f"/uploads/{row.id}"
    return _answer(row, repeated=not new)


@router.get("/uploads/{upload_id}", operation_id="getUpload", responses=problem_responses(404))
async def get_upload(
    upload_id: Id, parts: PartsDependency, caller: CallerDependency
) -> UploadAnswer:
    """An upload of the caller, or with the scope ``etl:admin`` of anybody."""
    return _answer(await _own(parts, caller, upload_id), repeated=False)


@router.get(
    "/uploads/{upload_id}/rows", operation_id="uploadedRows", responses=problem_responses(404)
)
async def uploaded_rows(
    upload_id: Id,
    parts: PartsDependency,
    caller: CallerDependency,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> UploadedRows:
    """The rows that were taken, in the order of the file."""
    await _own(parts, caller, upload_id)
    async with parts.database.begin() as connection:
        rows = await store.rows(connection, upload_id, after, limit + 1)
    items = [
        UploadedRow(row=row.row_number, bin=row.bin, amount=row.amount, status=row.status)
        for row in rows[:limit]
    ]
    return UploadedRows(items=items, next=items[-1].row if len(rows) > limit else None)


def _form(content_type: str) -> str:
    form = _FORMS.get(content_type.partition(";")[0].strip().lower())
    if form is None:
        raise ProblemError(415, "not-a-table", f"send {' or '.join(_FORMS)}")
    return form


def _rows_refused(found: ReadFile) -> ProblemError:
    return ProblemError(
        422,
        "rows-refused",
        f"rows that are not as they must be: {found.rows_refused} of {found.rows_read};"
        " nothing was kept",
        rows_read=found.rows_read,
        rows_refused=found.rows_refused,
        errors_count=found.errors_count,
        row_errors=[asdict(one) for one in found.errors[:_TOLD_ERRORS]],
    )


async def _known(parts: Parts, caller: Caller, sha256: str) -> Row[Any] | None:
    async with parts.database.begin() as connection:
        return await store.known_upload(connection, caller.user, sha256)


async def _own(parts: Parts, caller: Caller, upload_id: int) -> Row[Any]:
    async with parts.database.begin() as connection:
        row = await store.one(connection, upload_id)
    if row is None or (row.user_id != caller.user and not caller.may(ADMIN)):
        raise ProblemError(404, "no-upload", "you have no upload under this id")
    return row


def _answer(row: Row[Any], *, repeated: bool) -> UploadAnswer:
    return UploadAnswer(
        upload_id=row.id,
        repeated=repeated,
        form=row.form,
        encoding=row.encoding,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        rows_read=row.rows_read,
        rows_accepted=row.rows_accepted,
        rows_refused=row.rows_refused,
        errors=[RowErrorAnswer(**one) for one in row.errors],
        uploaded_at=row.uploaded_at,
    )
