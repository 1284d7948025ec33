"""What can go wrong when HCL or JSON text is read.

Invariant: a message has line and column and never the text of a value, which may be a secret.
"""

from zvault.base.errors import UsageError


class HclError(UsageError):
    """Text that is no HCL 1 (or JSON), or a value of another shape than asked for."""

    code = "hcl"

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        place = f"At {line}:{column}: " if line else ""
        super().__init__(f"{place}{problem}", hint="HCL 1 or JSON is expected here")
        self.line = line
        self.column = column
