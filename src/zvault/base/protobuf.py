"""Protobuf messages from a few lines of text, built at import; no generated files.

What lives here: the builder. What never does: a message of anybody's format (rooms declare their
own beside a ``.pyi`` that types them).
Invariant: unknown fields of a parsed message are kept and written again (upb does that).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = re.compile(
    r"(?P<number>\d+) (?P<name>\w+) (?P<repeated>repeated )?"
    r"(?:map<(?P<key>\w+), (?P<value>\w+)>|(?P<type>\w+))"
)
_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FieldProto.TYPE_STRING,
    "bytes": _FieldProto.TYPE_BYTES,
    "bool": _FieldProto.TYPE_BOOL,
    "int32": _FieldProto.TYPE_INT32,
    "int64": _FieldProto.TYPE_INT64,
    "uint32": _FieldProto.TYPE_UINT32,
    "uint64": _FieldProto.TYPE_UINT64,
}


def build_messages(package: str, messages: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Message classes by name.

    A field is written ``"1 name string"``, ``"2 items repeated Item"`` or
    ``"3 versions map<uint64, Version>"``. Raises ValueError for a line that is none of these.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3"
    )
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for line in fields:
            _add_field(message, f".{package}", message_name, line)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _add_field(
    message: descriptor_pb2.DescriptorProto, package: str, message_name: str, line: str
) -> None:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise ValueError(f"not a field: {line!r}")
    repeated = bool(match["repeated"] or match["key"])
    field = message.field.add(
        name=match["name"],
        number=int(match["number"]),
        label=_FieldProto.LABEL_REPEATED if repeated else _FieldProto.LABEL_OPTIONAL,
    )
    if match["type"]:
        _set_type(field, package, match["type"])
        return
    entry_name = "".join(part.capitalize() for part in match["name"].split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    for number, name, type_name in ((1, "key", match["key"]), (2, "value", match["value"])):
        member = entry.field.add(name=name, number=number, label=_FieldProto.LABEL_OPTIONAL)
        _set_type(member, package, type_name)
    field.type = _FieldProto.TYPE_MESSAGE
    field.type_name = f"{package}.{message_name}.{entry_name}"


def _set_type(field: descriptor_pb2.FieldDescriptorProto, package: str, type_name: str) -> None:
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
    else:
        field.type = _FieldProto.TYPE_MESSAGE
        field.type_name = f"{package}.{type_name}"
