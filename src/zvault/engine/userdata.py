"""Answers that carry what users stored: JSON as it was given, and ready to be sent.

What lives here: marks on values of ``Response.data`` that the audit log and the HTTP server look
at. What never does: a backend, HTTP.
Invariants: an ``EncodedData`` equals its JSON text and is never changed once it exists, because a
cache and several requests share it; numbers in ``UserData`` came from JSON, so the audit log
hashes their text as Vault does; a ``Timestamp`` is a time that a handler made, so the audit log
leaves it readable.
"""

from typing import Any, NoReturn


class UserData(dict[str, Any]):
    """A JSON object that a user gave us."""

    __slots__ = ()


class Timestamp(str):
    """RFC 3339 text of a time that the engine put into an answer."""

    __slots__ = ()


class EncodedData(dict[str, Any]):
    """``Response.data`` together with its JSON text.

    ``encoded`` is what the server sends in place of encoding the object again (number literals as
    the user wrote them); ``is_user_data`` says that all of it is a user's; ``audited`` remembers,
    per audit device, the hashed form.
    """

    __slots__ = ("audited", "encoded", "is_user_data")

    def __init__(
        self, values: dict[str, Any], encoded: bytes, *, is_user_data: bool = False
    ) -> None:
        super().__init__(values)
        self.encoded = encoded
        self.is_user_data = is_user_data
        self.audited: dict[int, bytes] = {}

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("EncodedData is shared and cannot be changed; copy it with dict(data)")

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse
