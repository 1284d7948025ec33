"""Small files that would be large in memory: refused, or read without holding them."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.services.etl.workbook import HEADER, workbook
from zakupai_etl.uploads import xml_part
from zakupai_etl.uploads.read import read_file
from zakupai_etl.uploads.rows import FileError
from zakupai_etl.uploads.xlsx_file import MOST_PARTS

MEBIBYTE = 1024 * 1024


def refusal(tmp_path: Path, body: bytes, form: str = "xlsx") -> str:
    """What is said of the file."""
    file = tmp_path / "a"
    file.write_bytes(body)
    with pytest.raises(FileError) as refused:
        read_file(file, form)
    return f"{refused.value.slug}: {refused.value}"


def peak(tmp_path: Path, body: bytes, form: str) -> int:
    """The most memory that reading the file, which is refused, took."""
    tracemalloc.start()
    try:
        refusal(tmp_path, body, form)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_part_that_is_not_stored_or_deflated_is_not_unpacked(tmp_path: Path, method: int) -> None:
    """``zipfile`` bounds what it unpacks at once for deflate only."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook([HEADER, ("123456789012", 1, "NEW")]))) as honest,
        zipfile.ZipFile(file, "w", method) as archive,
    ):
        for name in honest.namelist():
            archive.writestr(name, honest.read(name))
    assert "packed in a way" in refusal(tmp_path, file.getvalue())


DEEP = "<a>" * (xml_part.MOST_OPEN + 1)
NAMES = "".join(f"<a{number}/>" for number in range(xml_part.MOST_NAMES + 100))
LONG = "x" * (xml_part.LONGEST_TOKEN_BYTES + 200_000)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (DEEP, "inside each other"),
        (f"<a>{NAMES}</a>", "names"),
        (f'<a b="{LONG}"/>', "longer than"),
        (f"<a><!--{LONG}--></a>", "longer than"),
        (f"<a><?b {LONG}?></a>", "longer than"),
    ],
)
@pytest.mark.parametrize("part", ["worksheets__sheet1", "sharedStrings", "workbook"])
def test_xml_that_its_parser_would_have_to_hold_is_refused(
    tmp_path: Path, part: str, xml: str, reason: str
) -> None:
    body = workbook([HEADER], **{part: xml})
    assert reason in refusal(tmp_path, body)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels"])
def test_lists_of_sheets_and_relations_have_a_limit(tmp_path: Path, part: str) -> None:
    many = "<w>" + "<sheet/><Relationship/>" * (MOST_PARTS + 1) + "</w>"
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook([HEADER]))) as honest,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in honest.namelist():
            archive.writestr(name, many if name == part else honest.read(name))
    assert "xlsx-too-large" in refusal(tmp_path, file.getvalue())


def test_of_a_text_in_many_pieces_no_more_is_held_than_is_kept(tmp_path: Path) -> None:
    pieces = "<t>Ж</t>" * 200_000  # each a string of its own: 80 bytes for 9 of the file
    body = workbook([], sharedStrings=f"<sst><si>{pieces}</si></sst>")
    assert peak(tmp_path, body, "xlsx") < 8 * MEBIBYTE
    values = "<v>Ж</v>" * 200_000
    row = f'<row><c t="str">{values}</c></row>'
    assert peak(tmp_path, workbook(sheet_xml=f"<w>{row}</w>"), "xlsx") < 8 * MEBIBYTE


def test_of_a_row_with_a_million_cells_no_more_is_held_than_the_header_has(tmp_path: Path) -> None:
    body = b"bin,amount,status\n" + b"," * 1_000_000 + b"\n"
    assert peak(tmp_path, body, "csv") < 40 * MEBIBYTE


def test_a_cell_far_to_the_right_of_an_empty_row_is_still_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"bin,amount,status\n" + b"," * 500 + b"x\n,,,,\n123456789012,1,NEW\n")
    found = read_file(file, "csv")
    assert (len(found.rows), [one.row for one in found.errors]) == (1, [2])


def test_a_truth_value_is_no_amount(tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    head = '<row><c t="str"><v>bin</v></c><c t="str"><v>amount</v></c><c t="str"><v>status</v></c>'
    row = '</row><row><c><v>123456789012</v></c><c t="b"><v>1</v></c><c t="str"><v>NEW</v></c>'
    file.write_bytes(workbook(sheet_xml=f"<w>{head}{row}</row></w>"))
    found = read_file(file, "xlsx")
    assert (found.rows, [one.column for one in found.errors]) == ([], ["amount"])
