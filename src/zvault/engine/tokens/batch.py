"""Batch tokens: the whole token entry, sealed by the barrier, is the token.

What lives here: the protobuf inside and the text around it. Nothing is stored. Source:
``docs/formats/records.md``: a barrier record with empty associated data, base64url without padding,
behind ``hvb.`` (``b.`` in stores of OpenBao).
"""

import base64
import binascii

from google.protobuf.message import DecodeError

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError
from zvault.base.protobuf import build_messages
from zvault.records.tokens import BATCH, TokenEntry

PREFIXES = ("hvb.", "b.")

_messages = build_messages(
    "zvault.batch_token",
    {
        "TokenEntry": [
            "1 id string",
            "2 accessor string",
            "3 parent string",
            "4 policies repeated string",
            "5 path string",
            "6 meta map<string, string>",
            "7 display_name string",
            "8 num_uses int64",
            "9 creation_time int64",
            "10 ttl int64",
            "11 explicit_max_ttl int64",
            "12 role string",
            "13 period int64",
            "14 entity_id string",
            "15 bound_cidrs repeated string",
            "16 namespace_id string",
            "17 cubbyhole_id string",
            "18 type uint32",
            "19 internal_meta map<string, string>",
            "20 inline_policy string",
            "21 no_identity_policies bool",
            "22 external_id string",
        ]
    },
)
_Message = _messages["TokenEntry"]


def is_batch(token: str) -> bool:
    """The token says it is a batch token."""
    return token.startswith(PREFIXES)


def encode_batch(barrier: Barrier, entry: TokenEntry) -> str:
    """The token that carries ``entry``."""
    message = _Message(
        parent=entry.parent,
        policies=list(entry.policies),
        path=entry.path,
        meta=entry.meta,
        display_name=entry.display_name,
        creation_time=entry.creation_time,
        ttl=entry.ttl_ns,
        role=entry.role,
        entity_id=entry.entity_id,
        bound_cidrs=list(entry.bound_cidrs),
        namespace_id=entry.namespace_id,
        type=BATCH,
        internal_meta=entry.internal_meta,
        no_identity_policies=entry.no_identity_policies,
    )
    record = barrier.encrypt("", message.SerializeToString())
    prefix = "hvb." if barrier.family == "vault" else "b."
    return prefix + base64.urlsafe_b64encode(record).rstrip(b"=").decode()


def decode_batch(barrier: Barrier, token: str) -> TokenEntry | None:
    """The entry inside; None when the token is not one of this store's."""
    text = token.partition(".")[2]
    try:
        record = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        message = _Message.FromString(barrier.decrypt("", record))
    except (binascii.Error, ValueError, DecodeError, UnreadableEntryError):
        return None
    if message.type != BATCH:
        return None
    return TokenEntry(
        id=token,
        parent=message.parent,
        policies=tuple(message.policies),
        path=message.path,
        meta=dict(message.meta),
        internal_meta=dict(message.internal_meta),
        display_name=message.display_name,
        creation_time=message.creation_time,
        ttl_ns=message.ttl,
        role=message.role,
        type=BATCH,
        entity_id=message.entity_id,
        no_identity_policies=message.no_identity_policies,
        bound_cidrs=tuple(message.bound_cidrs),
        namespace_id=message.namespace_id or "root",
        inline_policy=message.inline_policy,
    )
