"""What an operator with the root token does meanwhile: versions, metadata, secret_ids, KV v1.

What lives here: the operations that services may not do. Issued secret_ids are appended to a 0600
file so that the leak scan can look for them. What never does: a change to a service's own secrets.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac.exceptions

from demo.load.client import MOUNT
from demo.load.lane import Act
from demo.load.worker import Worker, WrongAnswerError, expect
from demo.proof.secret import Secret

LEGACY = "legacy"
_KEPT_VERSIONS = 8  # more than the mount's 6: the larger counts


@dataclass
class OperatorActs:
    """``secrets`` and ``legacy``: the operator's own paths; ``roles``: name to role_id."""

    worker: Worker
    secrets: dict[str, Secret]
    legacy: dict[str, dict[str, Any]]
    roles: dict[str, str]
    issued_file: Path

    def acts(self) -> list[Act]:
        """Everything here, with how often."""
        return [
            Act(self.delete_versions, 5, ready=lambda: bool(self._written())),
            Act(self.undelete_versions, 5, ready=lambda: bool(self._written())),
            Act(self.destroy_version, 2, ready=lambda: bool(self._written())),
            Act(self.set_metadata, 4, ready=lambda: bool(self._written())),
            Act(self.write_legacy, 8),
            Act(self.read_legacy, 8, ready=lambda: bool(self.legacy)),
            Act(self.spend_secret_id, 4, False),
            Act(self.rotate_secret_id, 3, False),
        ]

    # Versions.

    def delete_versions(self) -> bool:
        return self._change("kv.delete-versions", "delete", Secret.delete)

    def undelete_versions(self) -> bool:
        return self._change("kv.undelete", "undelete", Secret.undelete)

    def destroy_version(self) -> bool:
        return self._change("kv.destroy", "destroy", Secret.destroy)

    def _change(self, kind: str, verb: str, remember: Callable[[Secret, list[int]], None]) -> bool:
        chance = self.worker.chance
        path = chance.choice(self._written())
        known = list(self.secrets[path].versions)
        numbers = sorted(chance.sample(known, 1 if verb == "destroy" else min(2, len(known))))

        def act() -> dict[str, Any]:
            getattr(self.worker.kv, f"{verb}_secret_versions")(path, numbers, mount_point=MOUNT)
            return {}

        return self.worker.run(
            kind,
            {"path": path, "versions": numbers},
            act,
            lambda _: remember(self.secrets[path], numbers),
        )

    def set_metadata(self) -> bool:
        worker = self.worker
        path = worker.chance.choice(self._written())
        note = {"note": f"{worker.ledger.lane}-{worker.ledger.number + 1}"}

        def act() -> dict[str, Any]:
            worker.kv.update_metadata(
                path, max_versions=_KEPT_VERSIONS, custom_metadata=note, mount_point=MOUNT
            )
            return {}

        def then(_: dict[str, Any]) -> None:
            self.secrets[path].max_versions = _KEPT_VERSIONS
            self.secrets[path].custom_metadata = note

        settings = {"max_versions": _KEPT_VERSIONS, "custom_metadata": note}
        return worker.run("kv.settings", {"path": path, "settings": settings}, act, then)

    def _written(self) -> list[str]:
        return [path for path, secret in self.secrets.items() if secret.versions]

    # KV v1.

    def write_legacy(self) -> bool:
        worker = self.worker
        path = f"operations/{worker.ledger.lane}-{worker.chance.randrange(6)}"
        data = worker.values.data(worker.ledger.lane, worker.ledger.number + 1)

        def act() -> dict[str, Any]:
            client = worker.client.use(worker.session.token)
            client.secrets.kv.v1.create_or_update_secret(path, data, mount_point=LEGACY)
            self.legacy[path] = data
            return {}

        return worker.run("kv1.write", {"path": path}, act)

    def read_legacy(self) -> bool:
        worker = self.worker
        path = worker.chance.choice(list(self.legacy))

        def act() -> dict[str, Any]:
            client = worker.client.use(worker.session.token)
            answer = client.secrets.kv.v1.read_secret(path, mount_point=LEGACY)
            expect(answer["data"], self.legacy[path], f"{path}: the data")
            return {}

        return worker.run("kv1.read", {"path": path}, act)

    # secret_ids: issued, used, and gone for good.

    def spend_secret_id(self) -> bool:
        """One that is good for one login: the second must be refused."""
        role = self.worker.chance.choice(list(self.roles))
        return self._issue_and_use(role, uses=1)

    def rotate_secret_id(self) -> bool:
        """One without limit, used and destroyed: the next login must be refused."""
        role = self.worker.chance.choice(list(self.roles))
        return self._issue_and_use(role, uses=0)

    def _issue_and_use(self, role: str, *, uses: int) -> bool:
        issued: dict[str, str] = {}
        if not self._issue(role, uses, issued):
            return False
        token: dict[str, str] = {}
        if not self._login(role, issued, token):
            return False
        done = uses == 1 or self._destroy(role, issued)
        return self._refused(role, issued) and self._revoke(token) and done

    def _issue(self, role: str, uses: int, issued: dict[str, str]) -> bool:
        worker = self.worker

        def act() -> dict[str, Any]:
            answer = worker.client.use(worker.session.token).write_data(
                f"auth/approle/role/{role}/secret-id",
                data={
                    "metadata": json.dumps({"lane": worker.ledger.lane}),
                    "num_uses": uses,
                },
            )
            issued.update(
                secret_id=answer["data"]["secret_id"],
                accessor=answer["data"]["secret_id_accessor"],
            )
            self._remember_issued(issued["secret_id"])
            return {"accessor": issued["accessor"]}

        return worker.run("secret-id.create", {"role": role}, act)

    def _login(self, role: str, issued: dict[str, str], token: dict[str, str]) -> bool:
        worker = self.worker

        def act() -> dict[str, Any]:
            auth = worker.client.use(None).auth.approle.login(
                self.roles[role], issued["secret_id"], use_token=False
            )["auth"]
            token.update(token=auth["client_token"], accessor=auth["accessor"])
            return {"accessor": auth["accessor"]}

        intent = {"role": role, "secret_id_accessor": issued["accessor"]}
        return worker.run("login.issued", intent, act)

    def _destroy(self, role: str, issued: dict[str, str]) -> bool:
        worker = self.worker

        def act() -> dict[str, Any]:
            worker.client.use(worker.session.token).auth.approle.destroy_secret_id_accessor(
                role, issued["accessor"]
            )
            return {}

        return worker.run("secret-id.destroy", {"role": role, "accessor": issued["accessor"]}, act)

    def _refused(self, role: str, issued: dict[str, str]) -> bool:
        worker = self.worker

        def act() -> dict[str, Any]:
            try:
                worker.client.use(None).auth.approle.login(
                    self.roles[role], issued["secret_id"], use_token=False
                )
            except hvac.exceptions.InvalidRequest:
                return {}
            raise WrongAnswerError("a spent secret_id logged in again")

        # A spent secret_id is gone like a destroyed one: what follows says so to the model.
        return worker.run("secret-id.gone", {"role": role, "accessor": issued["accessor"]}, act)

    def _revoke(self, token: dict[str, str]) -> bool:
        worker = self.worker

        def act() -> dict[str, Any]:
            worker.client.use(token["token"]).auth.token.revoke_self()
            return {}

        return worker.run("token.revoke", {"accessor": token["accessor"]}, act)

    def _remember_issued(self, secret_id: str) -> None:
        descriptor = os.open(self.issued_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, secret_id.encode() + b"\n")
        finally:
            os.close(descriptor)
