"""The end of the process: its exit code must be the one the command meant.

What lives here: leaving without the interpreter's teardown where that could abort.
"""

import contextlib
import logging
import os
import sys

_S3_LIBRARY = "obstore"


def leave(end: SystemExit, *, at_once: bool = False) -> None:
    """Leave now if the S3 library was used or ``at_once`` is wanted, else return.

    Its worker threads may let go of Python objects of a cancelled request during the teardown of
    the interpreter; that aborts the process, and a script sees SIGABRT instead of the exit code
    (seen with obstore 0.12 and Python 3.11, about once in ten failed commands).
    """
    if _S3_LIBRARY not in sys.modules and not at_once:
        return
    code = end.code if isinstance(end.code, int) else int(end.code is not None)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
