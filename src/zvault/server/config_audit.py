"""``audit`` stanzas of a server configuration: devices that are there from the first unseal on.

What lives here: ``audit "file" "name" { description, local, options { … } }`` to values, and the
same with ``type`` and ``path`` as fields; pure.
What never does: the meaning of a device's options (``engine/audit``).
Source: docs/formats/server-config.md.
"""

from collections.abc import Iterator

from zvault.engine.audit.declared import DeclaredDevice
from zvault.hcl.values import Item, Object
from zvault.server.config_fields import Fields, refuse

_NEEDS = 'needs a type and a path: audit "file" "name" { … }'


def read_audit(document: Object) -> tuple[DeclaredDevice, ...]:
    """Every declared device. Raises ConfigError, HclError."""
    found: dict[str, DeclaredDevice] = {}
    for item, device in _all(document):
        if device.path in found:
            raise refuse(item, f'names the path "{device.path}" twice')
        found[device.path] = device
    return tuple(found.values())


def _all(document: Object) -> Iterator[tuple[Item, DeclaredDevice]]:
    for item in document.find("audit"):
        if not item.labels and isinstance(item.value, Object | tuple):
            bodies = Object((item,)).blocks("audit")
            if all(body.last("type") is not None for body in bodies):
                for body in bodies:
                    yield item, _device(item, "", "", body)
                continue
        for stanza in Object((item,)).stanzas("audit"):
            for inner in stanza.body.items:
                if not isinstance(inner.value, Object | tuple) or inner.key == "options":
                    raise refuse(item, _NEEDS)
                for body in Object((inner,)).blocks(inner.key):
                    yield item, _device(item, stanza.label, inner.key, body)


def _device(item: Item, kind: str, name: str, body: Object) -> DeclaredDevice:
    fields = Fields(body)
    if not kind:
        kind, name = fields.text("type"), fields.text("path")
    if not kind or not name.strip("/"):
        raise refuse(item, _NEEDS)
    options: dict[str, str] = {}
    for block in fields.blocks("options"):
        options |= block.all_texts()
    device = DeclaredDevice(
        path=name.strip("/") + "/",
        type=kind,
        description=fields.text("description"),
        options=options,
        local=fields.boolean("local"),
    )
    unknown = fields.unknown()
    if unknown:
        # What it was meant to do would silently not be done to an audit log.
        raise refuse(unknown[0], "is no field of an audit device")
    return device
