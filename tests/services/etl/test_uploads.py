"""Uploads: what is taken, what is refused and why, and what a file may not do to the service."""

import asyncio
import secrets
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.services.etl.running import Json, metric
from tests.services.etl.workbook import HEADER, sheet, workbook
from tests.support.service_stand import Backing, Stand
from zakupai_common.web.identity import identity_headers
from zakupai_etl.upload_routes import BODY_BYTES
from zakupai_etl.uploads import xlsx_file
from zakupai_etl.uploads.read import MOST_ERRORS, read_file
from zakupai_etl.uploads.rows import MOST_ROWS, FileError

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BIN = "123456789012"


async def send(
    stand: Stand, body: Any, kind: str = CSV, *, expected: int = 201, **params: str
) -> Json:
    answer = await stand.call(
        "POST",
        "/upload-batch",
        scopes=["etl:write"],
        params=params,
        content=body,
        headers={"Content-Type": kind},
    )
    assert answer.status_code == expected, answer.text
    found: Json = answer.json()
    return found


def lines(*rows: str) -> bytes:
    """A CSV that no test has sent."""
    return "\n".join(
        ["bin,amount,status,note", *rows, f"{BIN},1,NEW,{secrets.token_hex(4)}"]
    ).encode()


async def rows_of(stand: Stand, upload: Json) -> list[tuple[Any, ...]]:
    answer = await stand.call("GET", f"/uploads/{upload['upload_id']}/rows")
    assert answer.status_code == 200
    return [tuple(one.values()) for one in answer.json()["items"]]


async def test_a_csv_is_kept_row_by_row(etl: Stand) -> None:
    body = b"status;amount;bin\r\nnew;1 500,5;123456789012\r\n\r\nAPPROVED;0;000000000001\r\n"
    found = await send(etl, body, "text/csv; charset=utf-8")
    assert (found["rows_read"], found["rows_accepted"], found["rows_refused"]) == (2, 2, 0)
    assert (found["form"], found["encoding"], found["errors"]) == ("csv", "utf-8-sig", [])
    assert await rows_of(etl, found) == [
        (2, BIN, "1500.50", "NEW"),
        (4, "000000000001", "0.00", "APPROVED"),
    ]
    assert await metric(etl, "etl_upload_rows_total", result="accepted") == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_russian_names_every_encoding_and_every_delimiter_are_read(
    etl: Stand, encoding: str, delimiter: str
) -> None:
    table = [["БИН", "Сумма", "Статус", "Прим."], [BIN, "7.5", "REJECTED", "да"]]
    body = "\n".join(delimiter.join(row) for row in table).encode(encoding)
    found = await send(etl, body)
    assert await rows_of(etl, found) == [(2, BIN, "7.50", "REJECTED")]
    assert found["encoding"] == ("cp1251" if encoding == "cp1251" else "utf-8-sig")


async def test_an_xlsx_is_kept_with_the_values_that_excel_shows(etl: Stand) -> None:
    rows = [
        HEADER,
        (BIN, 0.1 + 0.2, "NEW"),
        (123456789012, 1500, "approved"),
        (),
        (BIN, "2,5", "NEW"),
    ]
    found = await send(etl, workbook(rows), XLSX)
    assert (found["form"], found["encoding"]) == ("xlsx", None)
    assert await rows_of(etl, found) == [
        (2, BIN, "0.30", "NEW"),
        (3, BIN, "1500.00", "APPROVED"),
        (5, BIN, "2.50", "NEW"),
    ]


async def test_shared_texts_and_their_runs_are_read(etl: Stand) -> None:
    texts = "<sst><si><t>bin</t></si><si><r><t>amo</t></r><r><t>unt</t></r><rPh><t>x</t></rPh></si>"
    texts += f"<si><t>status</t></si><si><t>{BIN}</t></si><si><t>NEW</t></si></sst>"
    row = '<row><c t="s"><v>{}</v></c><c {}><v>{}</v></c><c t="s"><v>{}</v></c></row>'
    body = row.format(0, 't="s"', 1, 2) + row.format(3, "", 12.5, 4)
    found = await send(
        etl, workbook(sheet_xml=f"<worksheet>{body}</worksheet>", sharedStrings=texts), XLSX
    )
    assert await rows_of(etl, found) == [(2, BIN, "12.50", "NEW")]


@pytest.mark.parametrize("place", [-1, 2, 10**9])
async def test_a_cell_that_points_to_no_shared_text_is_empty(etl: Stand, place: int) -> None:
    rows = (("bin", "amount", "status"), (BIN, 1, "NEW"))
    body = sheet(rows).replace(
        f'<c r="A2" t="inlineStr"><is><t>{BIN}</t></is></c>', f'<c r="A2" t="s"><v>{place}</v></c>'
    )
    texts = f"<sst><si><t>x</t></si><si><t>{BIN}</t></si></sst>"
    found = await send(etl, workbook(sheet_xml=body, sharedStrings=texts), XLSX, expected=422)
    (error,) = found["row_errors"]
    assert (error["row"], error["column"], error["reason"]) == (2, "bin", "is empty")


WRONG = [
    ("12345678901,1,NEW,", 2, "bin", "has 11 digits"),
    ("12345678901a,1,NEW,", 2, "bin", "12 digits"),
    ("١٢٣٤٥٦٧٨٩٠١٢,1,NEW,", 2, "bin", "12 digits"),
    (",1,NEW,", 2, "bin", "is empty"),
    (f"{BIN},-1,NEW,", 2, "amount", "at least 0"),
    (f"{BIN},1.234,NEW,", 2, "amount", "2 after it"),
    (f"{BIN},1e5,NEW,", 2, "amount", "an amount"),
    (f"{BIN},NaN,NEW,", 2, "amount", "an amount"),
    (f"{BIN},=1+1,NEW,", 2, "amount", "an amount"),
    (f"{BIN},12345678901234,NEW,", 2, "amount", "13 digits"),
    (f"{BIN},1,OLD,", 2, "status", "NEW, APPROVED, REJECTED"),
    (f"{BIN},1", 2, "status", "is empty"),
    (f"{BIN},1,NEW,a,b", 2, None, "header's 4 cells"),
]


@pytest.mark.parametrize(("row", "number", "column", "reason"), WRONG)
async def test_a_wrong_row_is_named_with_its_column_and_the_reason(
    etl: Stand, row: str, number: int, column: str | None, reason: str
) -> None:
    found = await send(etl, lines(row), expected=422)
    assert found["type"] == "urn:zakupai:problem:rows-refused"
    assert (found["rows_read"], found["rows_refused"]) == (2, 1)
    [error] = found["row_errors"]
    assert (error["row"], error["column"]) == (number, column)
    assert reason in error["reason"]


async def test_nothing_is_kept_of_a_file_with_an_error_unless_the_rest_is_asked_for(
    etl: Stand,
) -> None:
    body = lines(f"{BIN},2,NEW,", "1,x,OLD,", f"{BIN},3,NEW,")
    refused = await send(etl, body, expected=422)
    assert await metric(etl, "etl_upload_rows_total", result="refused") == 4
    assert [(one["row"], one["column"]) for one in refused["row_errors"]] == [
        (3, "bin"),
        (3, "amount"),
        (3, "status"),
    ]
    async with etl.parts.database.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM etl_batch_uploads")) == 0
    found = await send(etl, body, on_errors="skip")
    assert (found["rows_read"], found["rows_accepted"], found["rows_refused"]) == (4, 3, 1)
    assert len(found["errors"]) == 3
    assert await metric(etl, "etl_upload_rows_total", result="accepted") == 3
    assert await metric(etl, "etl_upload_rows_total", result="refused") == 4 + 1
    assert [row[0] for row in await rows_of(etl, found)] == [2, 4, 5]
    kept = (await etl.call("GET", f"/uploads/{found['upload_id']}")).json()
    assert kept == found


async def test_a_formula_is_told_and_its_old_result_is_not_used(etl: Stand) -> None:
    body = workbook([HEADER, (BIN, "=SUM(B1:B9)", "NEW"), (BIN, 5, "NEW")])
    found = await send(etl, body, XLSX, expected=422)
    [error] = found["row_errors"]
    assert (error["row"], error["column"]) == (2, "amount")
    assert "formula" in error["reason"]


async def test_the_same_file_is_one_upload_however_often_it_is_sent(etl: Stand) -> None:
    body = lines()
    answers = await asyncio.gather(
        *(
            etl.call(
                "POST",
                "/upload-batch",
                scopes=["etl:write"],
                content=body,
                headers={"Content-Type": CSV},
            )
            for _ in range(6)
        )
    )
    assert sorted(one.status_code for one in answers) == [200] * 5 + [201]
    assert len({one.json()["upload_id"] for one in answers}) == 1
    assert sum(one.json()["repeated"] for one in answers) == 5
    assert await metric(etl, "etl_upload_rows_total", result="accepted") == 1


@pytest.mark.parametrize(
    ("body", "kind", "slug"),
    [
        (b"", CSV, "header-wrong"),
        (b"bin,amount\n1,2\n", CSV, "header-wrong"),
        (b"bin,bin,amount,status\n", CSV, "header-wrong"),
        (b"bin,amount,status\n", CSV, "no-rows"),
        (b'bin,amount,status\n"1,2,3\n', CSV, "csv-broken"),
        (b"bin,amount,status\n" + b"x" * 200_000 + b",1,NEW\n", CSV, "csv-broken"),
        ("bin,amount,status\n1,2,3\n".encode("utf-16"), CSV, "encoding-unknown"),
        (b"bin,amount,status\n\x98\xff,2,3\n", CSV, "encoding-unknown"),
        (b"PK\x03\x04 not really", XLSX, "xlsx-broken"),
        (workbook([]), XLSX, "header-wrong"),
        (workbook([HEADER]), XLSX, "no-rows"),
        (workbook(sheet_xml="<worksheet><row>"), XLSX, "xlsx-broken"),
        (
            workbook(sheet_xml='<w><row r="2"><c/></row><row r="1"><c/></row></w>'),
            XLSX,
            "xlsx-broken",
        ),
        (workbook(sheet_xml=f'<w><row r="{"9" * 5000}"><c/></row></w>'), XLSX, "xlsx-broken"),
        (workbook([HEADER], workbook="<workbook/>"), XLSX, "xlsx-broken"),
        (
            workbook(sheet_xml='<!DOCTYPE a [<!ENTITY b "b">]><worksheet>&b;</worksheet>'),
            XLSX,
            "xlsx-broken",
        ),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_as_a_whole(
    etl: Stand, body: bytes, kind: str, slug: str
) -> None:
    found = await send(etl, body, kind, expected=422)
    assert found["type"] == f"urn:zakupai:problem:{slug}"


def test_a_file_that_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (xlsx_file.MOST_UNPACKED_BYTES + 1))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(FileError) as refused:
        list(xlsx_file.xlsx_rows(bomb))
    assert refused.value.slug == "xlsx-too-large"


def test_a_file_that_lies_about_what_it_unpacks_to_is_cut_off_there(tmp_path: Path) -> None:
    file = tmp_path / "liar.xlsx"
    honest = workbook(sheet_xml=sheet([HEADER]) + " " * 1_000_000)
    size = struct.pack("<I", len(sheet([HEADER])) + 1_000_000)
    assert honest.count(size) == 2  # before the part and in the directory
    file.write_bytes(honest.replace(size, struct.pack("<I", 500)))
    with pytest.raises(FileError) as refused:
        list(xlsx_file.xlsx_rows(file))
    assert refused.value.slug == "xlsx-broken"


@pytest.mark.parametrize(
    "rows", ["<row/>" * 10, '<row><c t="s"><v>7</v></c></row>', "<row><c/></row>" * 9]
)
def test_a_sheet_of_nothing_has_no_rows(tmp_path: Path, rows: str) -> None:
    file = tmp_path / "a.xlsx"
    file.write_bytes(workbook(sheet_xml=f"<worksheet>{rows}</worksheet>"))
    with pytest.raises(FileError):
        read_file(file, "xlsx")


def test_rows_and_told_errors_have_limits_and_the_count_has_none(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    wrong = MOST_ERRORS + 5
    file.write_text("bin,amount,status\n" + "1,1,NEW\n" * wrong + f"{BIN},1,NEW\n")
    found = read_file(file, "csv")
    assert (len(found.errors), found.errors_count, found.rows_refused) == (
        MOST_ERRORS,
        wrong,
        wrong,
    )
    assert len(found.rows) == 1
    file.write_text("bin,amount,status\n" + f"{BIN},1,NEW\n" * (MOST_ROWS + 1))
    with pytest.raises(FileError) as refused:
        read_file(file, "csv")
    assert refused.value.slug == "too-many-rows"


async def test_a_file_of_the_largest_size_passes_and_a_larger_one_is_413(etl: Stand) -> None:
    """The service's ordinary limit of 2 MiB does not stand in the way."""
    row = f"{BIN},1.00,NEW," + "x" * 90 + "\n"
    head = f"bin,amount,status,{secrets.token_hex(8)}\n"
    body = (head + row * ((BODY_BYTES - len(head)) // len(row))).encode()
    body += b"\n" * (BODY_BYTES - len(body))
    assert len(body) == BODY_BYTES
    found = await send(etl, body)
    assert found["rows_accepted"] == body.count(BIN.encode()) > 90_000
    assert found["size_bytes"] == BODY_BYTES
    large = await send(etl, body + b"\n", expected=413)
    assert large["limit_bytes"] == BODY_BYTES
    other = await etl.call("POST", "/runs", scopes=["etl:run"], content=b" " * (3 * 1024 * 1024))
    assert other.status_code == 413


async def test_a_body_that_ends_early_is_kept_nowhere(etl: Stand) -> None:
    signed = identity_headers(
        etl.provided.identity_key,
        "POST",
        "/upload-batch",
        user="user-1",
        scopes=["etl:write"],
        request_id="r",
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/upload-batch",
        "raw_path": b"/upload-batch",
        "query_string": b"",
        "headers": [
            (b"content-type", CSV.encode()),
            *((name.lower().encode(), value.encode()) for name, value in signed.items()),
        ],
    }
    messages: list[Any] = [
        {"type": "http.request", "body": lines(), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send_on(message: Any) -> None:
        sent.append(message)

    await etl.app(scope, receive, send_on)
    assert sent[0]["status"] == 400
    async with etl.parts.database.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM etl_uploads")) == 0


async def test_an_upload_without_postgresql_is_503_and_not_kept(
    servers: Backing, etl: Stand
) -> None:
    body = lines()
    await asyncio.to_thread(servers.postgres.stop)
    try:
        found = await send(etl, body, expected=503)
        assert found["type"] == "urn:zakupai:problem:unavailable"
    finally:
        await asyncio.to_thread(servers.postgres.start)
    assert (await send(etl, body))["repeated"] is False


async def test_a_disk_that_takes_no_upload_is_503(
    etl: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    found = await send(etl, lines(), expected=503)
    assert found["type"] == "urn:zakupai:problem:unavailable"
    assert str(tmp_path) not in str(found)


async def test_uploads_belong_to_their_user(etl: Stand) -> None:
    body, headers = lines(), {"Content-Type": CSV}
    found = await send(etl, body)
    same = await etl.call(
        "POST",
        "/upload-batch",
        user="user-2",
        scopes=["etl:write"],
        content=body,
        headers=headers,
    )
    assert (same.status_code, same.json()["repeated"]) == (201, False)
    assert same.json()["upload_id"] != found["upload_id"]
    path = f"/uploads/{found['upload_id']}"
    for target in (path, f"{path}/rows"):
        assert (await etl.call("GET", target, user="user-2")).status_code == 404
        admin = await etl.call("GET", target, user="user-2", scopes=["etl:admin"])
        assert admin.status_code == 200


async def test_an_upload_needs_its_scope_and_a_table(etl: Stand) -> None:
    headers = {"Content-Type": CSV}
    answer = await etl.call("POST", "/upload-batch", content=lines(), headers=headers)
    assert answer.status_code == 403
    assert (await send(etl, b"{}", "application/json", expected=415))["status"] == 415
    await send(etl, lines(), expected=422, on_errors="perhaps")
