"""What a person sees while the demo runs: one line a step, and under it what the tool says."""

import re
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from demo.proof.findings import Verdict
from demo.report.figures import StepFigures

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_WIDTH = 100
_DOING = re.compile(r" *\d+\.\d\d s  \S")


class Screen:
    """Plain lines; colours only on a terminal."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._colours = out.isatty()
        self._begin = time.monotonic()

    def title(self, text: str, under: str) -> None:
        self._line(self._paint(text, "bold"))
        self._line(self._paint(under, "dim"))
        self._line("")

    def step(self, title: str) -> None:
        """A new chapter."""
        self._line(f"{self._clock()}  {self._paint(title, 'bold')}")

    def say(self, text: str) -> None:
        """A sentence under the step."""
        self._line(f"{'':6}  {text}")

    def tool(self, text: str) -> None:
        """What zvault is doing; not its plan and its progress, which would say it again."""
        if _DOING.match(text) or text.startswith(("zvault: ", "hint: ")):
            short = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
            self._line(self._paint(f"{'':6}  │ {short}", "dim"))

    def equal(self, verdict: Verdict) -> None:
        """The result of a comparison."""
        told = (
            f"{verdict.secrets:,} secrets ({verdict.versions:,} versions), {verdict.tokens:,} "
            f"tokens, {verdict.secret_ids:,} secret_ids, {verdict.others:,} policies, roles, mounts"
        )
        if verdict.equal:
            self.say(self._paint("✓ ", "green") + told + ": as they must be")
            return
        self.say(self._paint(f"✗ {len(verdict.findings)} differences in {told}", "red"))
        for finding in verdict.findings[:10]:
            self.say(self._paint(f"  {finding}", "red"))

    def figures(self, figures: StepFigures, *, cutover: bool) -> None:
        """What the load went through."""
        if not figures.operations:
            return
        good = "green" if not figures.failed else "red"
        waited = f", {figures.in_flight} in flight at the cut-over" if cutover else ""
        self.say(
            self._paint("✓ " if not figures.failed else "✗ ", good)
            + f"{figures.operations:,} operations, {figures.failed} failed{waited}, "
            f"longest stall {figures.longest_ms:,.0f} ms"
        )

    def good(self, text: str) -> None:
        self.say(self._paint("✓ ", "green") + text)

    def bad(self, text: str) -> None:
        self.say(self._paint(f"✗ {text}", "red"))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The final table: first column left, the others right."""
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        self._line("")
        for number, row in enumerate([head, *rows]):
            cells = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(cells)
            self._line(self._paint(line, "dim") if number == 0 else line)
            if number == 0:
                self._line(self._paint("─" * (sum(widths) + 2 * (len(widths) - 1)), "dim"))
        self._line("")

    def verdict(self, broken: Sequence[str], files: str) -> None:
        """The last words."""
        if not broken:
            self._line(self._paint("Nothing lost, nothing failed.", "green") + f"  {files}")
            return
        self._line(self._paint(_counted(len(broken)) + ":", "red"))
        for text in broken[:30]:
            self._line(self._paint(f"  ✗ {text}", "red"))
        self._line(files)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._begin)
        return self._paint(f"{seconds // 60:3}:{seconds % 60:02}", "dim")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._colours else text

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _counted(broken: int) -> str:
    return "One promise was broken" if broken == 1 else f"{broken} promises were broken"
