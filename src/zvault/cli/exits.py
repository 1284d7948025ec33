"""Exit codes: one per category of error. Documented in docs/cli.md; a test compares the two.

What lives here: the only table from error to exit code. 0 means verified, nothing else does.
"""

from zvault.base import errors

INTERNAL = 1
EXIT_CODES: dict[type[errors.ZvaultError], int] = {
    errors.UsageError: 2,
    errors.PreconditionError: 3,
    errors.VerificationError: 4,
    errors.RolledBackError: 5,
    errors.InterruptedRunError: 6,
    errors.SealedError: 7,
    errors.UnreachableError: 8,
    errors.BusyError: 9,
    errors.NotFoundError: 10,
}


def exit_code(error: errors.ZvaultError) -> int:
    """The code of the nearest category up the class's line; 1 for none."""
    for category in type(error).__mro__:
        if category in EXIT_CODES:
            return EXIT_CODES[category]
    return INTERNAL
