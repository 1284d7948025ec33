"""What a service does with its secrets: write, patch, delete, read, list.

What lives here: the KV operations of one lane, each checked on the spot against what the lane
itself did before (read-your-writes). What never does: a retry; a path of another lane, but for the
one read that must be refused.
"""

from dataclasses import dataclass
from typing import Any

import hvac.exceptions

from demo.load.client import MOUNT
from demo.load.lane import Act
from demo.load.worker import Worker, WrongAnswerError, expect
from demo.proof.secret import Secret


@dataclass
class SecretActs:
    """``secrets``: the lane's own, as they were before the load; ``shared``: what others hold."""

    worker: Worker
    secrets: dict[str, Secret]
    shared: dict[str, dict[str, Any]]
    others_secret: str

    def acts(self) -> list[Act]:
        """Everything here, with how often."""
        return [
            Act(self.write, 22),
            Act(self.read, 26),
            Act(self.read_version, 8),
            Act(self.read_metadata, 5),
            Act(self.list_secrets, 3),
            Act(self.read_shared, 6),
            Act(self.be_denied, 2),
            Act(self.patch, 5, ready=lambda: bool(self._living())),
            Act(self.delete, 2, ready=lambda: bool(self._living())),
            Act(self.write_with_cas, 8, may_be_sent_twice=False),
        ]

    def write(self) -> bool:
        return self._write(cas=False)

    def write_with_cas(self) -> bool:
        return self._write(cas=True)

    def _write(self, *, cas: bool) -> bool:
        path = self.worker.chance.choice(list(self.secrets))
        secret, number = self.secrets[path], self.worker.ledger.number + 1
        data = self.worker.values.data(self.worker.ledger.lane, number)
        condition = secret.current if cas else None

        def act() -> dict[str, Any]:
            answer = self.worker.kv.create_or_update_secret(
                path, data, cas=condition, mount_point=MOUNT
            )
            return {"version": answer["data"]["version"]}

        def then(got: dict[str, Any]) -> None:
            secret.write(data, got["version"])

        return self.worker.run("kv.cas" if cas else "kv.write", {"path": path}, act, then)

    def patch(self) -> bool:
        path = self.worker.chance.choice(self._living())
        secret, number = self.secrets[path], self.worker.ledger.number + 1
        change = self.worker.values.patch(self.worker.ledger.lane, number)

        def act() -> dict[str, Any]:
            answer = self.worker.client.merge_patch(self.worker.session.token, path, change)
            return {"version": answer["data"]["version"]}

        def then(got: dict[str, Any]) -> None:
            secret.patch(change, got["version"])

        return self.worker.run("kv.patch", {"path": path}, act, then)

    def delete(self) -> bool:
        path = self.worker.chance.choice(self._living())

        def act() -> dict[str, Any]:
            self.worker.kv.delete_latest_version_of_secret(path, mount_point=MOUNT)
            return {}

        return self.worker.run(
            "kv.delete", {"path": path}, act, lambda _: self.secrets[path].delete_latest()
        )

    def read(self) -> bool:
        path = self.worker.chance.choice(list(self.secrets))
        return self._read("kv.read", path, self.secrets[path].current, newest=True)

    def read_version(self) -> bool:
        path = self.worker.chance.choice(list(self.secrets))
        known = list(self.secrets[path].versions) or [0]
        return self._read("kv.read-version", path, self.worker.chance.choice(known), newest=False)

    def _read(self, kind: str, path: str, number: int, *, newest: bool) -> bool:
        wanted = self.secrets[path].versions.get(number)

        def act() -> dict[str, Any]:
            try:
                answer = self.worker.kv.read_secret_version(
                    path,
                    version=None if newest else number,
                    mount_point=MOUNT,
                    raise_on_deleted_version=True,
                )
            except hvac.exceptions.InvalidPath:
                expect(wanted is None or not wanted.readable, True, f"{path}: absent, it")
                return {}
            expect(answer["data"]["metadata"]["version"], number, f"{path}: the version")
            expect(answer["data"]["data"], wanted and wanted.data, f"{path}: the data")
            return {}

        return self.worker.run(kind, {"path": path, "version": number}, act)

    def read_metadata(self) -> bool:
        path = self.worker.chance.choice(list(self.secrets))
        secret = self.secrets[path]

        def act() -> dict[str, Any]:
            try:
                found = self.worker.kv.read_secret_metadata(path, mount_point=MOUNT)["data"]
            except hvac.exceptions.InvalidPath:
                expect(secret.current, 0, f"{path}: absent, it")
                return {}
            expect(found["current_version"], secret.current, f"{path}: current_version")
            expect({int(n) for n in found["versions"]}, set(secret.versions), f"{path}: versions")
            return {}

        return self.worker.run("kv.metadata", {"path": path}, act)

    def list_secrets(self) -> bool:
        place = f"services/{self.worker.service}"
        mine = {
            path.removeprefix(place + "/") for path in self.secrets if self.secrets[path].current
        }

        def act() -> dict[str, Any]:
            found = self.worker.kv.list_secrets(place, mount_point=MOUNT)["data"]["keys"]
            missing = {name for name in mine if "/" not in name} - set(found)
            expect(missing, set(), f"{place}: the listing")
            return {}

        return self.worker.run("kv.list", {"path": place}, act)

    def read_shared(self) -> bool:
        path = self.worker.chance.choice(list(self.shared))

        def act() -> dict[str, Any]:
            answer = self.worker.kv.read_secret_version(
                path, mount_point=MOUNT, raise_on_deleted_version=True
            )
            expect(answer["data"]["data"], self.shared[path], f"{path}: the data")
            return {}

        return self.worker.run("kv.shared", {"path": path}, act)

    def be_denied(self) -> bool:
        """Another service's secret: the policy must say no, before and after every move."""

        def act() -> dict[str, Any]:
            try:
                self.worker.kv.read_secret_version(
                    self.others_secret, mount_point=MOUNT, raise_on_deleted_version=True
                )
            except hvac.exceptions.Forbidden:
                return {}
            raise WrongAnswerError(f"{self.others_secret} was readable")

        return self.worker.run("denied", {"path": self.others_secret}, act)

    def _living(self) -> list[str]:
        """Paths whose newest version is there and can be patched or deleted."""
        return [
            path
            for path, secret in self.secrets.items()
            if (newest := secret.latest()) is not None and newest.readable
        ]
