"""Secrets planted on purpose: a search that does not find them has not searched.

What lives here: a random secret, written in each spelling into plain files, a backup-like archive,
and the arguments and environment of a process.
"""

import base64
import io
import secrets
import subprocess
import sys
import tarfile
from pathlib import Path

import zstandard

from demo.leaks.needles import Needle, needles
from demo.leaks.search import Leak

NAME = "canary"
_FILES = ("raw", "hex", "base64", "base64url", "inside.json")


class Canaries:
    """Plants one secret below ``folder``; ``missing`` says where the search did not find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.secret = secrets.token_bytes(33)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def needles(self) -> list[Needle]:
        return needles(NAME, self.secret)

    def plant_files(self) -> None:
        """Plain files and a tar.zst with the secret in a member."""
        self._folder.mkdir(mode=0o700)
        standard = base64.b64encode(b"?" + self.secret)
        contents = {
            "raw": b"..." + self.secret,
            "hex": self.secret.hex().encode(),
            "base64": base64.b64encode(self.secret),
            "base64url": base64.urlsafe_b64encode(self.secret).rstrip(b"="),
            "inside.json": b'{"body":"' + standard + b'"}',
        }
        for name, content in contents.items():
            (self._folder / name).write_bytes(content)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            member = tarfile.TarInfo("member")
            member.size = len(contents["hex"])
            archive.addfile(member, io.BytesIO(contents["hex"]))
        (self._folder / "packed.tar.zst").write_bytes(
            zstandard.ZstdCompressor().compress(packed.getvalue())
        )

    def plant_process(self) -> None:
        """A process with the secret in its arguments and, spelled otherwise, its environment."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)", self.secret.hex()],
            env={"CANARY": base64.b64encode(self.secret).decode()},
            stdin=subprocess.DEVNULL,
        )

    def remove(self) -> None:
        """End the process; the files stay for the search."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def missing(self, leaks: list[Leak]) -> list[str]:
        """Where the search should have found the canary and did not."""
        found = [leak.where for leak in leaks if leak.of == NAME]
        wanted = [str(self._folder / name) for name in _FILES]
        wanted.append(f"{self._folder / 'packed.tar.zst'} (member)")
        missing = [place for place in wanted if place not in found]
        for part in ("cmdline", "environ"):
            if not any(where.startswith(f"{part} of ") for where in found):
                missing.append(f"a process's {part}")
        return missing
