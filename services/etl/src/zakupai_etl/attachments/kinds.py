"""What a file is, by its first bytes; pure.

What lives here: the kinds that are kept. What never does: a name or a header that somebody sent.
"""

from enum import Enum

SNIFF_BYTES = 16


class FileKind(Enum):
    """Name, first bytes, media type."""

    PDF = ("pdf", b"%PDF-", "application/pdf")
    ZIP = ("zip", b"PK\x03\x04", "application/zip")
    """Also DOCX, XLSX: what they are inside is not looked at."""
    OLE = ("ole", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage")
    """Old DOC and XLS."""
    RAR = ("rar", b"Rar!\x1a\x07", "application/vnd.rar")
    SEVEN_ZIP = ("7z", b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed")
    PNG = ("png", b"\x89PNG\r\n\x1a\n", "image/png")
    JPEG = ("jpeg", b"\xff\xd8\xff", "image/jpeg")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def media_type(self) -> str:
        return self.value[2]


MEDIA_TYPES = {kind.word: kind.media_type for kind in FileKind}


def kind_of(first: bytes) -> FileKind | None:
    """The kind of a file that begins with these bytes; None: one that is not kept."""
    return next((kind for kind in FileKind if first.startswith(kind.value[1])), None)
