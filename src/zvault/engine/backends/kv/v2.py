"""KV version 2: secrets with versions, check-and-set, soft delete and metadata.

What lives here: the paths of a mount of type ``kv`` with ``version=2`` and what each operation
does. What never does: the rules of versions (``kv2_rules``), storage order (``kv2_store``), JSON
shapes (``kv2_answers``).
Invariants: reads of a secret that was read lately take one dict look-up and no await; every change
of a secret happens under its lock, so of two check-and-set writes one wins.
Source: ``docs/api/kv.md``.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.kv import rules
from zvault.engine.backends.kv.answers import (
    config_data,
    gone,
    invalid_path,
    metadata_data,
    nothing_there,
    version_fields,
)
from zvault.engine.backends.kv.fields import (
    apply_config,
    apply_metadata,
    check_fields,
    depth_of,
    merge_metadata,
    says_metadata,
    version_of,
    versions_of,
    write_of,
)
from zvault.engine.backends.kv.setup import set_up
from zvault.engine.backends.kv.store import Kv2Store
from zvault.engine.backends.stored import stored_json
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from zvault.records.kv2 import Configuration, KeyMetadata, VersionState, version_state

Handler = Callable[[str, Request], Awaitable[Response | None]]
_WRITES = (Operation.CREATE, Operation.UPDATE)


class Kv2:
    """The backend of one mount."""

    unauthenticated_paths = ()
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._now_ns = context.clock.now_ns
        self._store: Kv2Store
        self._handlers: dict[str, dict[Operation, Handler]] = {
            "data": {
                Operation.READ: self._read,
                Operation.CREATE: self._write,
                Operation.UPDATE: self._write,
                Operation.PATCH: self._patch,
                Operation.DELETE: self._delete_latest,
            },
            "metadata": {
                Operation.READ: self._read_metadata,
                Operation.CREATE: self._write_metadata,
                Operation.UPDATE: self._write_metadata,
                Operation.PATCH: self._patch_metadata,
                Operation.DELETE: self._delete_metadata,
                Operation.LIST: self._list,
            },
            "subkeys": {Operation.READ: self._subkeys},
            "delete": dict.fromkeys(_WRITES, self._delete),
            "undelete": dict.fromkeys(_WRITES, self._undelete),
            "destroy": dict.fromkeys(_WRITES, self._destroy),
        }

    async def start(self) -> None:
        """Make the mount ready (upgrades version 1 data). Raises RecordError, StorageError."""
        context = self._context
        prefix = context.entry.backend_aware_uuid
        if not prefix:
            raise InternalEngineError(f"mount {context.entry.path} has no backend_aware_uuid")
        mount = await set_up(
            context.view, prefix, clock=context.clock, random_bytes=context.random_bytes
        )
        self._store = Kv2Store(mount)
        self._answers = self._store.cache

    async def stop(self) -> None:
        """Nothing runs in the background."""

    async def exists(self, request: Request) -> bool | None:
        """Whether the secret has metadata; None for paths without an existence check."""
        section, _, path = request.relative_path.partition("/")
        if section not in ("data", "metadata") or not path:
            return None
        check_fields(section, request.data)
        async with self._store.hold(path):
            return await self._store.load(path) is not None

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        relative = request.relative_path
        if request.operation is Operation.READ and relative.startswith("data/"):
            known = self._answers.get(relative[5:])
            if known is not None:
                number = version_of(request.data) if request.data else 0
                kept = known.answers.get(number or known.meta.current_version)
                if kept is not None and (not kept[1] or kept[1] > self._now_ns()):
                    return Response(data=kept[0])
                if kept is None and not number:
                    answer = self._store.fresh_answer(relative[5:], known, self._now_ns())
                    if answer is not None:
                        return Response(data=answer)
        return await self._dispatch(request)

    async def _dispatch(self, request: Request) -> Response | None:
        section, _, path = request.relative_path.partition("/")
        if section == "config" and not path and request.relative_path == "config":
            return await self._config(request)
        operations = self._handlers.get(section)
        listing = request.operation is Operation.LIST
        if operations is None or (not listing and (not path or path.endswith("/"))):
            return invalid_path(request.operation, request.relative_path)
        handler = operations.get(request.operation)
        if handler is None:
            raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")
        if handler != self._write:  # which reads the same fields first
            check_fields(section, request.data)
        try:
            return await handler(path, request)
        except RecursionError:
            # Before anything was written: only values are walked recursively.
            raise InvalidRequestError("the data is nested too deeply") from None

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    async def _read(self, path: str, request: Request) -> Response | None:
        number = version_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is None:
                return None
            number = number or known.meta.current_version
            state = version_state(known.meta, number, self._now_ns())
            if state is VersionState.ABSENT:
                return None
            if state is not VersionState.READABLE:
                return gone(known.meta, number, "data")
            return Response(data=await self._store.answer(path, known, number))

    async def _subkeys(self, path: str, request: Request) -> Response | None:
        number, depth = version_of(request.data), depth_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is None:
                return None
            number = number or known.meta.current_version
            state = version_state(known.meta, number, self._now_ns())
            if state is VersionState.ABSENT:
                return None
            if state is not VersionState.READABLE:
                return gone(known.meta, number, "subkeys")
            answer = await self._store.answer(path, known, number)
        values = answer["data"]
        shown = None if values is None else rules.subkeys(values, depth)
        return Response(data={"metadata": answer["metadata"], "subkeys": shown})

    async def _write(self, path: str, request: Request) -> Response:
        options, data = write_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            config = self._store.config
            rules.check_cas(config, known.meta if known is not None else None, options)
            meta = KeyMetadata(key=path) if known is None else rules.copy_of(known.meta)
            return await self._add(path, meta, config, data)

    async def _add(
        self, path: str, meta: KeyMetadata, config: Configuration, data: dict[str, Any] | None
    ) -> Response:
        encoded = stored_json(data)
        number, version, trimmed = rules.add_version(meta, config, self._now_ns())
        await self._store.write_version(path, meta, number, version, encoded, trimmed)
        return Response(data=version_fields(meta, number))

    async def _patch(self, path: str, request: Request) -> Response:
        options, patch = write_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is None:
                return nothing_there()
            config = self._store.config
            rules.check_cas(config, known.meta, options)
            meta = rules.copy_of(known.meta)
            number = meta.current_version
            state = version_state(meta, number, self._now_ns())
            if state is VersionState.ABSENT:
                return nothing_there()
            if state is not VersionState.READABLE:
                return Response(status=404, data=version_fields(meta, number))
            current = (await self._store.answer(path, known, number))["data"]
            if current is None:
                raise InternalEngineError("1 error occurred:\n\t* resource does not exist\n\n")
            merged = None if patch is None else rules.merge_patch(current, patch)
            return await self._add(path, meta, config, merged)

    async def _delete_latest(self, path: str, request: Request) -> None:
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is not None:
                meta = rules.copy_of(known.meta)
                if rules.delete_versions(meta, [meta.current_version], self._now_ns()):
                    await self._store.write_metadata(path, meta)

    async def _delete(self, path: str, request: Request) -> None:
        numbers = versions_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is not None:
                meta = rules.copy_of(known.meta)
                if rules.delete_versions(meta, numbers, self._now_ns()):
                    await self._store.write_metadata(path, meta)

    async def _undelete(self, path: str, request: Request) -> None:
        numbers = versions_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is not None:
                meta = rules.copy_of(known.meta)
                config = self._store.config
                if rules.undelete_versions(meta, config, numbers, self._now_ns()):
                    await self._store.write_metadata(path, meta)

    async def _destroy(self, path: str, request: Request) -> None:
        numbers = versions_of(request.data)
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is not None:
                meta = rules.copy_of(known.meta)
                doomed = rules.destroy_versions(meta, numbers)
                if doomed:
                    await self._store.write_metadata(path, meta, doomed)

    async def _read_metadata(self, path: str, request: Request) -> Response | None:
        async with self._store.hold(path):
            known = await self._store.load(path)
            return None if known is None else Response(data=metadata_data(known.meta))

    async def _write_metadata(self, path: str, request: Request) -> None:
        async with self._store.hold(path):
            known = await self._store.load(path)
            now_ns = self._now_ns()
            meta = KeyMetadata(key=path) if known is None else rules.copy_of(known.meta)
            if apply_metadata(meta, self._store.config, request.data, now_ns, self._is_openbao):
                await self._store.write_metadata(path, meta)

    async def _patch_metadata(self, path: str, request: Request) -> Response | None:
        if not says_metadata(request.data):
            return None  # also where there is nothing
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is None:
                return nothing_there()
            meta = rules.copy_of(known.meta)
            if merge_metadata(meta, self._store.config, request.data, self._is_openbao):
                await self._store.write_metadata(path, meta)
        return None

    async def _delete_metadata(self, path: str, request: Request) -> None:
        async with self._store.hold(path):
            known = await self._store.load(path)
            if known is not None:
                await self._store.remove(path, known.meta)

    async def _list(self, path: str, request: Request) -> Response | None:
        keys = await self._store.list(path)
        return Response(data={"keys": keys}) if keys else None

    async def _config(self, request: Request) -> Response | None:
        if request.operation is Operation.READ:
            return Response(data=config_data(self._store.config))
        if request.operation is Operation.LIST:
            return invalid_path(request.operation)
        if request.operation not in _WRITES:
            raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")
        async with self._store.hold("config/"):
            config = apply_config(self._store.config, request.data)
            if config is not None:
                await self._store.save_config(config)
        return None

    @property
    def _is_openbao(self) -> bool:
        return self._context.family == "openbao"


def make(context: MountContext) -> Kv2:
    """The backend for one mount."""
    return Kv2(context)
