"""What the operator does before the load: a canary role for zvault, and some changes of old things.

What lives here: edits that make every kind of original differ from the museum at least once, so
that an old copy coming back would be seen. Each goes through a ledger like everything else.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.load.client import MOUNT, Client
from demo.load.ledger import Ledger
from demo.load.operator_acts import LEGACY
from demo.load.values import Values
from demo.load.worker import Session, Worker
from demo.place import CANARY_ROLE, Place, write_private

LANE = "opening.0"
POLICY = f"""path "{MOUNT}/data/{CANARY_ROLE}/*" {{
  capabilities = ["create", "read", "update"]
}}
"""
_POLICY_NOTE = "# reviewed before the move\n"
EDITED_SECRET = "shared/db"
EDITED_LEGACY = "app0/xwzsi"
EDITED_POLICY = "calc"


class OpeningError(Exception):
    """An edit before the load failed."""


@dataclass
class Opening:
    """The operator's hands before the load."""

    worker: Worker
    place: Place
    expected: dict[str, Any]

    def run(self) -> None:
        """All edits. Raises OpeningError naming the first that failed."""
        for edit in (
            self.write_canary_policy,
            self.write_canary_role,
            self.edit_policy,
            self.edit_secret,
            self.edit_legacy,
            self.destroy_and_delete,
            self.revoke_a_token_of_old,
        ):
            edit()

    def write_canary_policy(self) -> None:
        self._policy(CANARY_ROLE, POLICY)

    def edit_policy(self) -> None:
        self._policy(EDITED_POLICY, _POLICY_NOTE + self.expected["policies"][EDITED_POLICY])

    def _policy(self, name: str, text: str) -> None:
        def act() -> dict[str, Any]:
            self._hvac().sys.create_or_update_policy(name, text)
            return {}

        self._do("policy.write", {"name": name, "text": text}, act)

    def write_canary_role(self) -> None:
        def act() -> dict[str, Any]:
            approle = self._hvac().auth.approle
            approle.create_or_update_approle(
                CANARY_ROLE, token_policies=[CANARY_ROLE], token_ttl="10m", token_max_ttl="10m"
            )
            role_id = approle.read_role_id(CANARY_ROLE)["data"]["role_id"]
            issued = approle.generate_secret_id(CANARY_ROLE)["data"]
            role_file, secret_file = self.place.canary_ids
            write_private(role_file, role_id.encode())
            write_private(secret_file, issued["secret_id"].encode())
            return {"accessor": issued["secret_id_accessor"]}

        self._do("secret-id.create", {"role": CANARY_ROLE}, act)

    def edit_secret(self) -> None:
        worker = self.worker
        data = worker.values.data(LANE, worker.ledger.number + 1)

        def act() -> dict[str, Any]:
            answer = worker.kv.create_or_update_secret(EDITED_SECRET, data, mount_point=MOUNT)
            return {"version": answer["data"]["version"]}

        self._do("kv.write", {"path": EDITED_SECRET}, act)

    def edit_legacy(self) -> None:
        worker = self.worker
        data = worker.values.data(LANE, worker.ledger.number + 1)

        def act() -> dict[str, Any]:
            self._hvac().secrets.kv.v1.create_or_update_secret(
                EDITED_LEGACY, data, mount_point=LEGACY
            )
            return {}

        self._do("kv1.write", {"path": EDITED_LEGACY}, act)

    def destroy_and_delete(self) -> None:
        def destroy() -> dict[str, Any]:
            self.worker.kv.destroy_secret_versions("monitoring", [1], mount_point=MOUNT)
            return {}

        def delete() -> dict[str, Any]:
            self.worker.kv.delete_secret_versions("monitoring", [2], mount_point=MOUNT)
            return {}

        self._do("kv.destroy", {"path": "monitoring", "versions": [1]}, destroy)
        self._do("kv.delete-versions", {"path": "monitoring", "versions": [2]}, delete)

    def revoke_a_token_of_old(self) -> None:
        child = next(t for t in self.expected["tokens"] if t["path"] == "auth/token/create")

        def act() -> dict[str, Any]:
            self._hvac().auth.token.revoke_accessor(child["accessor"])
            return {}

        self._do("token.revoke", {"accessor": child["accessor"]}, act)

    def _hvac(self) -> Any:
        return self.worker.client.use(self.worker.session.token)

    def _do(self, kind: str, intent: dict[str, Any], act: Any) -> None:
        if not self.worker.run(kind, intent, act):
            raise OpeningError(f"{kind} {intent.get('path') or intent.get('name') or ''} failed")


def opening(place: Place, expected: dict[str, Any], client: Client, values: Values) -> Opening:
    """Bound to the place's ledger."""
    worker = Worker(
        "opening",
        client,
        Ledger(Path(place.ledger) / f"{LANE}.jsonl", LANE),
        values,
        random.Random(0),
        [Session(expected["root_token"], "root")],
    )
    return Opening(worker, place, expected)
