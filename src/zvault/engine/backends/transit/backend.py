"""Transit: the paths of a mount of type ``transit``.

What lives here: the path table and the mount's life. What never does: what a path does (``keys``,
``encryption``, ``signing``, ``export``, ``importing``, ``settings``, ``tools``).
Source: ``docs/api/transit.md``.
"""

from collections.abc import Mapping

from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, Handler, Route, Router
from zvault.engine.backends.transit.encryption import Encryption
from zvault.engine.backends.transit.export import Export
from zvault.engine.backends.transit.importing import Importing
from zvault.engine.backends.transit.keys import Keys
from zvault.engine.backends.transit.rotation import Rotation
from zvault.engine.backends.transit.settings import MountSettings
from zvault.engine.backends.transit.signing import Signing
from zvault.engine.backends.transit.store import TransitStore
from zvault.engine.backends.transit.tools import Helpers
from zvault.engine.errors import UnsupportedOperationError

_READ, _UPDATE, _DELETE, _LIST = (
    Operation.READ,
    Operation.UPDATE,
    Operation.DELETE,
    Operation.LIST,
)
_WORD = r"(?a:\w(?:[\w.-]*\w)?)"
_NAME = rf"(?P<name>{_WORD})"
# An empty group takes part in the match, so that a body cannot set what belongs to the path.
_ALGORITHM = r"(?P<urlalgorithm>(?:/.+)?)"
_STRING = Field(FieldKind.STRING, "")
_INT = Field(FieldKind.INT, 0)
_BOOL = Field(FieldKind.BOOL, False)
_PERIOD = Field(FieldKind.DURATION, 0)
_BATCH = {"batch_input": Field(FieldKind.ANY)}
_TEXT = {
    "name": _STRING,
    "context": _STRING,
    "nonce": _STRING,
    "associated_data": _STRING,
    "key_version": _INT,
}
_CREATE = {
    "name": _STRING,
    "type": Field(FieldKind.STRING, "aes256-gcm96"),
    "derived": _BOOL,
    "convergent_encryption": _BOOL,
    "exportable": _BOOL,
    "allow_plaintext_backup": _BOOL,
    "auto_rotate_period": _PERIOD,
}
_SIGN = {
    "name": _STRING,
    "input": _STRING,
    "context": _STRING,
    "urlalgorithm": _STRING,
    "hash_algorithm": Field(FieldKind.STRING, "sha2-256"),
    "algorithm": _STRING,
    "signature_algorithm": _STRING,
    "marshaling_algorithm": Field(FieldKind.STRING, "asn1"),
    "salt_length": Field(FieldKind.STRING, "auto"),
    "prehashed": _BOOL,
    **_BATCH,
}
_IMPORT = {
    "name": _STRING,
    "ciphertext": _STRING,
    "public_key": _STRING,
    "hash_function": Field(FieldKind.STRING, "SHA256"),
}


class Transit:
    """The backend of one mount."""

    unauthenticated_paths = ()
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        store = TransitStore(context.view, context.family)
        keys = Keys(context, store)
        self._settings = MountSettings(context.view, store)
        self.rotation = Rotation(store, keys, context.clock, context.entry.path)
        encryption = Encryption(context, store, keys, self._settings)
        self._router = Router(
            [
                *_text_routes(encryption, Signing(store)),
                *_key_routes(keys, Importing(context, store, keys)),
                *_other_routes(
                    Export(context, store), self._settings, Helpers(context.random_bytes)
                ),
            ]
        )

    async def start(self) -> None:
        """Read the mount's settings; begin to rotate keys that are due."""
        await self._settings.start()
        self.rotation.start()

    async def stop(self) -> None:
        """End the rotation of keys."""
        await self.rotation.stop()

    async def exists(self, request: Request) -> bool | None:
        """Existence check of ``encrypt``; None for every other path."""
        return await self._router.exists(request)

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        return await self._router.handle(request)

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")


def _text_routes(encryption: Encryption, signing: Signing) -> list[Route]:
    partial_code = {"partial_failure_response_code": _INT}
    made = {"type": Field(FieldKind.STRING, "aes256-gcm96"), "convergent_encryption": _BOOL}
    ciphertext = {**_TEXT, **_BATCH, "ciphertext": _STRING}
    data_key = {**_TEXT, "plaintext": _STRING, "bits": Field(FieldKind.INT, 256)}
    encrypt = {**_TEXT, **_BATCH, **partial_code, **made, "plaintext": _STRING}
    hmac = {
        "name": _STRING,
        "input": _STRING,
        "urlalgorithm": _STRING,
        "algorithm": Field(FieldKind.STRING, "sha2-256"),
        "key_version": _INT,
        **_BATCH,
    }
    verify = {**_SIGN, "signature": _STRING, "hmac": _STRING}
    return [
        Route(f"encrypt/{_NAME}", _on(encryption.encrypt), encrypt, encryption.exists),
        Route(f"decrypt/{_NAME}", _on(encryption.decrypt), {**ciphertext, **partial_code}),
        Route(f"rewrap/{_NAME}", _on(encryption.rewrap), ciphertext),
        Route(f"datakey/(?P<plaintext>{_WORD})/{_NAME}", _on(encryption.data_key), data_key),
        Route(f"sign/{_NAME}{_ALGORITHM}", _on(signing.sign), {**_SIGN, "key_version": _INT}),
        Route(f"verify/{_NAME}{_ALGORITHM}", _on(signing.verify), verify),
        Route(f"hmac/{_NAME}{_ALGORITHM}", _on(signing.hmac), hmac),
    ]


def _key_routes(keys: Keys, importing: Importing) -> list[Route]:
    config = {
        "name": _STRING,
        "min_decryption_version": _INT,
        "min_encryption_version": _INT,
        "deletion_allowed": _BOOL,
        "exportable": _BOOL,
        "allow_plaintext_backup": _BOOL,
        "auto_rotate_period": _PERIOD,
    }
    create = {**_CREATE, "key_size": _INT, "context": _STRING}
    new = {**_CREATE, **_IMPORT, "allow_rotation": _BOOL, "context": _STRING}
    one = {_UPDATE: keys.create, _READ: keys.read, _DELETE: keys.delete}
    trim = {"name": _STRING, "min_available_version": _INT}
    version = {**_IMPORT, "version": _INT}
    return [
        Route("keys/?", {_LIST: keys.list}),
        Route(f"keys/{_NAME}", one, create),
        Route(f"keys/{_NAME}/config", _on(keys.configure), config),
        Route(f"keys/{_NAME}/rotate", _on(keys.rotate), {"name": _STRING}),
        Route(f"keys/{_NAME}/trim", _on(keys.trim), trim),
        Route(f"keys/{_NAME}/import", _on(importing.create), new),
        Route(f"keys/{_NAME}/import_version", _on(importing.add_version), version),
        Route("wrapping_key", {_READ: importing.read_wrapping_key}),
    ]


def _other_routes(export: Export, settings: MountSettings, helpers: Helpers) -> list[Route]:
    cache = {_READ: settings.read_cache, _UPDATE: settings.write_cache}
    mount_keys = {_READ: settings.read_keys, _UPDATE: settings.write_keys}
    restore = {"name": _STRING, "backup": _STRING, "force": _BOOL}
    random = {
        "source": _STRING,
        "urlbytes": _STRING,
        "bytes": Field(FieldKind.INT, 32),
        "format": Field(FieldKind.STRING, "base64"),
    }
    digest = {
        "input": _STRING,
        "urlalgorithm": _STRING,
        "algorithm": Field(FieldKind.STRING, "sha2-256"),
        "format": Field(FieldKind.STRING, "hex"),
    }
    exported = {"type": _STRING, "name": _STRING, "version": _STRING}
    return [
        Route(
            rf"export/(?P<type>{_WORD})/{_NAME}(?P<version>(?:/.+)?)",
            {_READ: export.export},
            exported,
        ),
        Route(f"backup/{_NAME}", {_READ: export.backup}, {"name": _STRING}),
        Route(r"restore(?P<name>(?:/.+)?)", _on(export.restore), restore),
        Route("cache-config", cache, {"size": _INT}),
        Route("config/keys", mount_keys, {"disable_upsert": _BOOL}),
        Route(
            rf"random(?P<source>(?:/{_WORD})?)(?P<urlbytes>(?:/.+)?)",
            _on(helpers.random),
            random,
        ),
        Route(f"hash{_ALGORITHM}", _on(helpers.hash), digest),
    ]


def _on(handler: Handler) -> Mapping[Operation, Handler]:
    return {_UPDATE: handler}


def make(context: MountContext) -> Transit:
    """The backend for one mount."""
    return Transit(context)
