"""Which plugins the server has built in, and which versions it tells of them.

What lives here: names and versions by kind of plugin. Pure. What never does: a plugin.
Source: ``docs/api/sys.md``; versions as a Vault 1.16.0 tells them.
"""

from zvault.records.mounts import MountEntry

_OUT_OF_TREE = {"kv": "v0.16.2+builtin"}
"""Plugins that real Vault takes from repositories of their own, with their own versions."""


def builtin_version(version: str, family: str) -> str:
    """The version of a plugin that is part of the server."""
    return f"v{version}+builtin.{'vault' if family == 'vault' else 'bao'}"


def plugin_version(name: str, builtin: str) -> str:
    """The version of one built-in plugin; ``builtin`` is that of the server's own."""
    return _OUT_OF_TREE.get(name, builtin) if builtin.endswith(".vault") else builtin


def running_version(entry: MountEntry, builtin: str) -> str:
    """What runs at a mount: what its entry was stored with, else what is built in."""
    stored = entry.extra.get("running_plugin_version")
    if isinstance(stored, str) and stored:
        return stored
    return plugin_version(entry.type, builtin)
