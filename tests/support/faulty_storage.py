"""A store that dies at the n-th call, before or after the effect, and a disk that can be cut off.

``FaultyStorage`` wraps any Storage. ``CrashingFileSystem`` is the file backend's seam: it passes
through to the real disk, counts effects, and keeps a model of what would be left after a power
cut.
"""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.storage.api import Operation, Storage
from zvault.storage.file_layout import SCRATCH_NAME
from zvault.storage.file_system import PosixFileSystem
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import inventory


class Killed(Exception):  # noqa: N818 (it is no error of ours)
    """The process under test would be dead from here on."""


class FaultyStorage:
    """``inner`` that raises ``Killed`` at call number ``at`` (1-based), and at every later one."""

    def __init__(self, inner: Storage, at: int = 0, *, after_effect: bool = False) -> None:
        self.inner = inner
        self.at = at
        self.after_effect = after_effect
        self.calls = 0

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(self, key: str) -> bytes | None:
        self._before()
        value = await self.inner.get(key)
        self._after()
        return value

    async def apply(self, operations: Sequence[Operation]) -> None:
        self._before()
        await self.inner.apply(operations)
        self._after()

    async def list(self, prefix: str) -> list[str]:
        self._before()
        names = await self.inner.list(prefix)
        self._after()
        return names

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        self._before()
        async for info in inventory(self.inner, prefix=prefix, after=after):
            yield info
        self._after()

    async def close(self) -> None:
        await self.inner.close()

    def _before(self) -> None:
        self.calls += 1
        if self.at and (self.calls > self.at or (self.calls == self.at and not self.after_effect)):
            raise Killed(f"before call {self.calls}")

    def _after(self) -> None:
        if self.at and self.after_effect and self.calls >= self.at:
            raise Killed(f"after call {self.calls}")


@dataclass
class _Inode:
    """A file's bytes or a folder's names, now and as far as they were synced."""

    now: bytes | dict[str, "_Inode"]
    durable: bytes | dict[str, "_Inode"] | None = None


class CrashingFileSystem:
    """The real disk, until effect number ``at``; then every effect raises ``Killed``.

    An effect is one create, one synced path, one rename, one folder made, one removal. After the
    kill ``power_cut`` writes to a new place what a disk would hold that lost everything not synced.
    """

    def __init__(self, root: Path, at: int = 0, *, after_effect: bool = False) -> None:
        self._real = PosixFileSystem(str(root))
        self._root = str(root)
        self.at = at
        self.after_effect = after_effect
        self.effects = 0
        self._tree = _snapshot(root)

    def create(self, path: str, content: bytes) -> None:
        with _Effect(self):
            self._real.create(path, content)
            folder, name = self._folder(path)
            folder[name] = _Inode(content)

    def sync(self, paths: Sequence[str]) -> None:
        for path in paths:
            with _Effect(self):
                node = self._node(path)
                node.durable = dict(node.now) if isinstance(node.now, dict) else node.now

    def sync_all(self) -> None:
        with _Effect(self):
            _make_durable(self._tree)

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        with _Effect(self):
            self._real.write_at(path, offset, content)
            folder, name = self._folder(path)
            node = folder.setdefault(name, _Inode(b""))
            assert isinstance(node.now, bytes)
            before = node.now.ljust(offset, b"\0")
            node.now = before[:offset] + content + before[offset + len(content) :]

    def sync_data(self, path: str) -> None:
        with _Effect(self):
            node = self._node(path)
            node.durable = node.now

    def rename(self, source: str, target: str) -> None:
        with _Effect(self):
            self._real.rename(source, target)
            from_folder, from_name = self._folder(source)
            to_folder, to_name = self._folder(target)
            to_folder[to_name] = from_folder.pop(from_name)

    def make_folder(self, path: str) -> None:
        with _Effect(self):
            self._real.make_folder(path)
            folder, name = self._folder(path)
            folder[name] = _Inode({}, {})

    def remove(self, path: str) -> None:
        with _Effect(self):
            self._real.remove(path)
            folder, name = self._folder(path)
            del folder[name]

    def remove_folder(self, path: str) -> None:
        with _Effect(self):
            self._real.remove_folder(path)
            folder, name = self._folder(path)
            del folder[name]

    def close(self) -> None:
        self._real.close()

    def power_cut(self, destination: Path) -> None:
        """Write what was durable to ``destination``; a file whose content was not is empty."""
        _materialize(self._tree, destination)

    def _node(self, path: str) -> _Inode:
        node = self._tree
        for part in path[len(self._root) :].strip("/").split("/"):
            if part:
                assert isinstance(node.now, dict)
                node = node.now[part]
        return node

    def _folder(self, path: str) -> tuple[dict[str, _Inode], str]:
        parent, name = os.path.split(path)
        node = self._node(parent)
        assert isinstance(node.now, dict)
        return node.now, name


class _Effect:
    """Counts one effect and kills before or after it."""

    def __init__(self, files: CrashingFileSystem) -> None:
        self._files = files

    def __enter__(self) -> None:
        files = self._files
        files.effects += 1
        dead = files.effects > files.at or (files.effects == files.at and not files.after_effect)
        if files.at and dead:
            raise Killed(f"before effect {files.effects}")

    def __exit__(self, kind: object, *rest: object) -> None:
        files = self._files
        if files.at and kind is None and files.after_effect and files.effects >= files.at:
            raise Killed(f"after effect {files.effects}")


def _make_durable(node: _Inode) -> None:
    if isinstance(node.now, dict):
        node.durable = dict(node.now)
        for child in node.now.values():
            _make_durable(child)
    else:
        node.durable = node.now


def _snapshot(folder: Path) -> _Inode:
    """What is on disk now counts as durable."""
    names: dict[str, _Inode] = {}
    for child in folder.iterdir():
        if child.is_dir():
            names[child.name] = _snapshot(child)
        else:
            content = child.read_bytes()
            names[child.name] = _Inode(content, content)
    return _Inode(names, dict(names))


def _materialize(folder: _Inode, destination: Path) -> None:
    destination.mkdir(exist_ok=True)
    assert isinstance(folder.durable, dict)
    for name, node in folder.durable.items():
        if name == SCRATCH_NAME:
            continue
        if isinstance(node.now, dict):
            _materialize(node, destination / name)
        else:
            durable = node.durable
            (destination / name).write_bytes(durable if isinstance(durable, bytes) else b"")
