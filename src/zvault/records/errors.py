"""What can go wrong when an entry is decoded.

Invariant: the message names the kind of record and the field, never a value.
"""

from zvault.base.errors import VerificationError


class RecordError(VerificationError):
    """A decrypted entry that is not what its place says it is."""

    code = "record"
