"""Runs ``zvault`` the way a person does: a command line, its exit code, its JSON.

What lives here: one call. What never does: an import of zvault; a secret in argv or environment.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ToolError(Exception):
    """A command did not end with 0; the text is its own sentence."""


@dataclass(frozen=True)
class Tool:
    """``say`` gets every line the command writes to stderr, while it runs."""

    site_file: Path
    home: Path
    say: Callable[[str], None]

    def __call__(self, *arguments: str | Path, timeout_seconds: float = 3600) -> dict[str, Any]:
        """Run one command with ``--json`` and return what it prints. Raises ToolError.

        The caller being stopped is kill -9 for the command, so that nothing works on behind it.
        """
        argv = [str(Path(sys.executable).parent / "zvault"), *map(str, arguments), "--json"]
        process = subprocess.Popen(
            argv,
            cwd=self.site_file.parent,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the caller's to pass on
        )
        told: list[str] = []
        listener = threading.Thread(target=self._listen, args=(process, told))
        listener.start()
        killer = threading.Timer(timeout_seconds, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            with process.stdout as pipe:
                output = pipe.read()
            code = process.wait()
            listener.join()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            killer.cancel()
        words = " ".join(arguments[i] for i in range(min(2, len(arguments))) if _word(arguments[i]))  # type: ignore[misc]
        if code:
            reason = next((line for line in told if line.startswith("zvault: ")), told[-1:] or "")
            raise ToolError(f"zvault {words} ended with {code}: {str(reason).strip()}")
        try:
            result: dict[str, Any] = json.loads(output)
        except ValueError:
            raise ToolError(f"zvault {words} printed no JSON") from None
        return result

    def _listen(self, process: "subprocess.Popen[str]", told: list[str]) -> None:
        assert process.stderr is not None
        with process.stderr as pipe:
            for line in pipe:
                told.append(line.rstrip())
                self.say(line.rstrip())


def _word(argument: object) -> bool:
    return isinstance(argument, str) and not argument.startswith("-")


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something; how long it took. Raises TimeoutError naming it."""
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - begin
