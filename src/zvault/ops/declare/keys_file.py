"""The file that new keys of a Vault go into: its place is taken before there are keys.

What lives here: taking the place, keeping, giving it back. What never does: a server.
Invariants: nobody's file is replaced; the room on the disk is taken beforehand, so a full disk is
found out before the keys are made; kept means written, durable and read back.
"""

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zvault.base.atomic_file import PRIVATE_MODE, fsync_directory
from zvault.base.secret import Secret
from zvault.ops.declare.errors import KeysFilePlaceError

_RESERVED_BYTES = 64 * 1024
"""More than 255 shares take as base64 in JSON."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class KeysFile:
    """A place that is taken. End with ``keep`` or ``give_back``, then ``close``."""

    def __init__(self, path: Path) -> None:
        """Take the place. Raises KeysFilePlaceError."""
        self.path = path
        try:
            self._descriptor = os.open(path, _FLAGS, PRIVATE_MODE)
        except FileExistsError:
            raise KeysFilePlaceError(
                f"{path} exists and is not replaced",
                hint="name a new file; an empty one is left by an init that was killed",
            ) from None
        except OSError as cause:
            raise KeysFilePlaceError(
                f"{path} cannot be made: {cause.strerror}", hint="name a file in a folder of yours"
            ) from None
        try:
            os.fchmod(self._descriptor, PRIVATE_MODE)
            self._write(b" " * _RESERVED_BYTES)
            fsync_directory(path.parent)
        except OSError as cause:
            self.give_back()
            self.close()
            raise KeysFilePlaceError(
                f"{path} cannot be written: {cause.strerror}", hint="is the disk full?"
            ) from None

    def keep(self, content: Secret) -> None:
        """Write the keys and read them back; durable on return. Raises OSError."""
        text = content.reveal()
        self._write(text)
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)
        if os.pread(self._descriptor, len(text) + 1, 0) != text:
            raise OSError(0, "it reads back as something else")

    def give_back(self) -> None:
        """Remove it; nothing is in it."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        done = 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], done)
        os.fsync(self._descriptor)


def content_of(
    shares: Sequence[Secret], threshold: int, root_token: Secret | None = None
) -> Secret:
    """The file's text: ``--shares-file`` takes it, and ``--token-file`` when a token is in it."""
    body: dict[str, Any] = {"shares": [_base64(share) for share in shares], "threshold": threshold}
    if root_token is not None:
        body["root_token"] = root_token.reveal_text()
    return Secret(json.dumps(body, indent=2) + "\n")


def _base64(share: Secret) -> str:
    return base64.b64encode(share.reveal()).decode()
