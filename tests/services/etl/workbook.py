"""XLSX files as tests want them: made by hand, so that they can also be wrong."""

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEADER = ("bin", "amount", "status")


def cell(place: str, value: object) -> str:
    """A number is a number, a text a text; "=A1" is a formula with an old result."""
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    text = escape(str(value))
    if text.startswith("="):
        return f'<c r="{place}"><f>{text[1:]}</f><v>100</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def sheet(rows: Sequence[Sequence[object]]) -> str:
    """The XML of a sheet."""
    made = []
    for number, row in enumerate(rows, 1):
        cells = "".join(cell(f"{'ABCDEFGH'[place]}{number}", one) for place, one in enumerate(row))
        made.append(f'<row r="{number}">{cells}</row>')
    return (
        f'<?xml version="1.0"?><worksheet {MAIN}><sheetData>{"".join(made)}</sheetData></worksheet>'
    )


def workbook(
    rows: Sequence[Sequence[object]] = (), *, sheet_xml: str | None = None, **parts: str
) -> bytes:
    """The bytes of a file; ``parts`` adds or replaces parts below ``xl/`` (``a__b`` is ``a/b``)."""
    content = {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": (
            f'<workbook {MAIN} xmlns:r="{RELATIONS}"><sheets>'
            '<sheet name="Лист1" sheetId="1" r:id="rId7"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships><Relationship Id="rId7" Type="{RELATIONS}/worksheet"'
            ' Target="worksheets/sheet1.xml"/></Relationships>'
        ),
        "xl/worksheets/sheet1.xml": sheet_xml or sheet(rows),
    }
    content |= {f"xl/{name.replace('__', '/')}.xml": text for name, text in parts.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return file.getvalue()
