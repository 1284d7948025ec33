"""What a run of the suite came to: pytest's JUnit file against what must pass.

Pure: text in, rows and a verdict out. A module with one test less than promised fails, so a run
in which nothing was collected cannot be green.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.conformance.hvac_suite.modules import PLACE, Module


@dataclass
class Row:
    """One module's count."""

    module: Module
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Exactly what was promised, nothing failed."""
        promised = (self.module.passes, self.module.skips)
        return not self.failures and (self.passed, self.skipped) == promised

    @property
    def line(self) -> str:
        """One line of the table."""
        wanted = f"{self.passed} of {self.module.passes}"
        skipped = f"{self.skipped} skipped" if self.skipped else ""
        if self.module.why_skipped and self.skipped:
            skipped += f": {self.module.why_skipped}"
        mark = "ok    " if self.ok else "FAILED"
        return f"{mark}  {self.module.name:40} {wanted:>9}  {skipped}".rstrip()


def rows_of(junit: str, modules: Sequence[Module]) -> list[Row]:
    """The rows in the order of ``modules``. Raises ValueError for a test of no module."""
    rows = {module.name: Row(module) for module in modules}
    seen: Counter[str] = Counter()
    for case in ElementTree.fromstring(junit).iter("testcase"):  # our own run wrote it
        where, name = case.get("classname", ""), case.get("name", "")
        path = where.replace(".", "/").removeprefix(f"{PLACE}/") + "/"
        row = next((row for row in rows.values() if path.startswith(f"{row.module.name}/")), None)
        if row is None:
            raise ValueError(f"a test of no module that was asked for: {where}.{name}")
        seen[f"{where}.{name}"] += 1
        outcome = {child.tag for child in case}
        if outcome & {"failure", "error"} or seen[f"{where}.{name}"] > 1:
            row.failures.append(f"{where}.{name}")
        elif "skipped" in outcome:
            row.skipped += 1
        else:
            row.passed += 1
    return list(rows.values())


def summary(rows: Sequence[Row]) -> str:
    """The table and its last line."""
    lines = [row.line for row in rows]
    lines += [f"        {name}" for row in rows for name in row.failures]
    passed, wanted = sum(row.passed for row in rows), sum(row.module.passes for row in rows)
    return "\n".join([*lines, f"{passed} of {wanted} tests of hvac's own suite pass"])
