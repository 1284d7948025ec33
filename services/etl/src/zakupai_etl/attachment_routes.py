"""The routes about attachments.

What lives here: from a URL to a kept file and back to its bytes. What never does: a check of a URL
or an address.
Invariants: a file is told only after it is on the disk and in PostgreSQL; its bytes go out as a
download of the kind that they are, never as a page.
"""

import datetime
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from sqlalchemy import Row

from zakupai_common.web.errors import ProblemError, problem_responses, unavailable
from zakupai_common.web.identity import CallerDependency, need_scope
from zakupai_common.web.parts import Parts, PartsDependency
from zakupai_etl.attachments import store
from zakupai_etl.attachments.fetch import BusyError, ContentError, Fetched, UpstreamError
from zakupai_etl.attachments.kinds import MEDIA_TYPES
from zakupai_etl.attachments.target import TargetError
from zakupai_etl.engine import Engine
from zakupai_etl.models import AttachmentAnswer, Attachments, FetchRequest, Id

router = APIRouter(prefix="/attachments", tags=["attachments"])
WRITE = "etl:write"
FRESH = datetime.timedelta(hours=24)
_log = logging.getLogger("zakupai.etl.attachments")


@router.post(
    "",
    operation_id="fetchAttachment",
    status_code=201,
    dependencies=[need_scope(WRITE)],
    responses={
        200: {"model": AttachmentAnswer, "description": "It was here already"},
        **problem_responses(502, 504),
    },
)
async def fetch_attachment(
    asked: FetchRequest, parts: PartsDependency, caller: CallerDependency, response: Response
) -> AttachmentAnswer:
    """Fetch a file from an allowed host and keep it. Needs the scope ``etl:write``."""
    engine = parts.own(Engine)
    try:
        url = engine.fetcher.check(asked.url)
        known = None if asked.again else await _fresh(parts, str(url))
        if known is not None:
            engine.metrics.fetched("cached")
            response.status_code = 200
            return _answer(known)
        found = await engine.fetcher.fetch(url)
    except TargetError as error:
        engine.metrics.fetched("refused")
        raise ProblemError(error.status, error.slug, str(error)) from None
    except ContentError as error:
        engine.metrics.fetched("refused")
        raise ProblemError(422, "content-refused", str(error)) from None
    except UpstreamError as error:
        engine.metrics.fetched("failed")
        status, slug = (504, "fetch-timeout") if error.slow else (502, "fetch-failed")
        raise ProblemError(status, slug, f"the host of the attachment: {error}") from None
    except BusyError:
        engine.metrics.fetched("failed")
        raise ProblemError(
            503, "fetches-busy", "too many fetches at once", headers={"Retry-After": "30"}
        ) from None
    except OSError as error:
        engine.metrics.fetched("failed")
        _log.error("the folder of attachments: %s", type(error).__name__)
        raise unavailable("the folder of attachments", 60) from None
    row, new = await _keep(parts, str(url), found, caller.user)
    engine.metrics.fetched("stored")
    response.headers["Location"] = f"/attachments/{row.id}"
    response.status_code = 201 if new else 200
    return _answer(row)


@router.get("", operation_id="listAttachments")
async def list_attachments(
    parts: PartsDependency,
    before: Id | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Attachments:
    """Attachments, the newest first."""
    async with parts.database.begin() as connection:
        rows = await store.page(connection, before, limit + 1)
    items = [_answer(row) for row in rows[:limit]]
    return Attachments(items=items, next=items[-1].attachment_id if len(rows) > limit else None)


@router.get("/{attachment_id}", operation_id="getAttachment", responses=problem_responses(404))
async def get_attachment(attachment_id: Id, parts: PartsDependency) -> AttachmentAnswer:
    """What is known of an attachment."""
    return _answer(await _row(parts, attachment_id))


@router.get(
    "/{attachment_id}/content",
    operation_id="attachmentContent",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file",
            "content": {
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in MEDIA_TYPES.values()
            },
        },
        **problem_responses(404, 410),
    },
)
async def attachment_content(attachment_id: Id, parts: PartsDependency) -> FileResponse:
    """The bytes of an attachment."""
    row = await _row(parts, attachment_id)
    path = parts.own(Engine).folder.file(row.sha256)
    if path is None:
        raise ProblemError(410, "file-missing", "the file is not in its folder; fetch it again")
    return FileResponse(
        path,
        media_type=MEDIA_TYPES[row.kind],
        filename=f"attachment-{row.id}.{row.kind}",
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )


async def _fresh(parts: Parts, url: str) -> Row[Any] | None:
    async with parts.database.begin() as connection:
        row = await store.newest(connection, url, parts.clock() - FRESH)
    present = row is not None and parts.own(Engine).folder.file(row.sha256) is not None
    return row if present else None


async def _keep(parts: Parts, url: str, found: Fetched, user: str) -> tuple[Row[Any], bool]:
    async with parts.database.begin() as connection:
        return await store.keep(connection, url, found, user, parts.clock())


async def _row(parts: Parts, attachment_id: int) -> Row[Any]:
    async with parts.database.begin() as connection:
        row = await store.one(connection, attachment_id)
    if row is None:
        raise ProblemError(404, "no-attachment", "there is no attachment under this id")
    return row


def _answer(row: Row[Any]) -> AttachmentAnswer:
    return AttachmentAnswer(
        attachment_id=row.id,
        url=row.url,
        sha256=row.sha256,
        kind=row.kind,
        size_bytes=row.size_bytes,
        first_fetched_at=row.first_fetched_at,
        fetched_at=row.fetched_at,
    )
