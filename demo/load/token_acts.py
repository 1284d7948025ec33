"""What a service does with its tokens: log in, hand out children, renew, revoke, cubbyhole.

What lives here: the token operations of one lane. A child's metadata names lane and operation, so
that a child which exists twice can be traced to the request that was sent twice. What never does: a
retry; the revocation of a token that is not the lane's own.
"""

from dataclasses import dataclass, field
from typing import Any

from demo.load.client import MOUNT
from demo.load.lane import Act
from demo.load.worker import Session, Worker, expect

_MAX_CHILDREN = 6
_MAX_LOGINS = 3
CHILD_TTL = "24h"


@dataclass
class TokenActs:
    """``role_id`` and ``secret_id`` empty: a lane with a token that was issued long ago."""

    worker: Worker
    shared: dict[str, dict[str, Any]]
    role_id: str = field(default="", repr=False)
    secret_id: str = field(default="", repr=False)

    def acts(self) -> list[Act]:
        """Everything here, with how often."""
        acts = [
            Act(self.look_at_own_token, 5),
            Act(self.create_child, 5, ready=lambda: len(self._children()) < _MAX_CHILDREN),
            Act(self.use_child, 4, ready=lambda: bool(self._children())),
            Act(self.renew_child, 4, ready=lambda: bool(self._children())),
            Act(self.revoke_child, 4, False, ready=lambda: len(self._children()) > 2),
            Act(self.write_cubbyhole, 2),
            Act(self.read_cubbyhole, 2, ready=lambda: bool(self.worker.session.cubbyhole)),
        ]
        if self.role_id:
            sessions = self.worker.sessions
            acts += [
                Act(self.login, 4, ready=lambda: len(sessions) < _MAX_LOGINS),
                Act(self.leave, 3, False, ready=lambda: len(sessions) > 1),
            ]
        return acts

    def login(self) -> bool:
        def act() -> dict[str, Any]:
            answer = self.worker.client.use(None).auth.approle.login(
                self.role_id, self.secret_id, use_token=False
            )
            auth = answer["auth"]
            expect(self.worker.service in auth["policies"], True, "the login's policy")
            self.worker.sessions.append(Session(auth["client_token"], auth["accessor"]))
            return {"accessor": auth["accessor"]}

        return self.worker.run("login", {"role": self.worker.service}, act)

    def leave(self) -> bool:
        """Revoke the oldest login; its children go with it."""
        oldest = self.worker.sessions[0]

        def act() -> dict[str, Any]:
            self.worker.client.use(oldest.token).auth.token.revoke_self()
            self.worker.sessions.remove(oldest)
            return {}

        return self.worker.run("login.leave", {"accessor": oldest.accessor}, act)

    def look_at_own_token(self) -> bool:
        session = self.worker.session

        def act() -> dict[str, Any]:
            found = self.worker.client.use(session.token).auth.token.lookup_self()["data"]
            expect(found["accessor"], session.accessor, "the token's accessor")
            expect(self.worker.service in found["policies"], True, "the token's policy")
            return {}

        return self.worker.run("token.lookup", {"accessor": session.accessor}, act)

    def create_child(self) -> bool:
        session, number = self.worker.session, self.worker.ledger.number + 1

        def act() -> dict[str, Any]:
            answer = self.worker.client.use(session.token).auth.token.create(
                ttl=CHILD_TTL, meta={"lane": self.worker.ledger.lane, "op": str(number)}
            )
            auth = answer["auth"]
            session.children.append(Session(auth["client_token"], auth["accessor"]))
            return {"accessor": auth["accessor"], "policies": auth["token_policies"]}

        return self.worker.run("token.create", {"parent": session.accessor}, act)

    def use_child(self) -> bool:
        child = self.worker.chance.choice(self._children())
        path = self.worker.chance.choice(list(self.shared))

        def act() -> dict[str, Any]:
            answer = self.worker.client.use(child.token).secrets.kv.v2.read_secret_version(
                path, mount_point=MOUNT, raise_on_deleted_version=True
            )
            expect(answer["data"]["data"], self.shared[path], f"{path}: the data")
            return {}

        return self.worker.run("token.use", {"accessor": child.accessor}, act)

    def renew_child(self) -> bool:
        child = self.worker.chance.choice(self._children())

        def act() -> dict[str, Any]:
            answer = self.worker.client.use(child.token).auth.token.renew_self(increment=CHILD_TTL)
            expect(answer["auth"]["lease_duration"] > 0, True, "the renewed lease")
            return {}

        return self.worker.run("token.renew", {"accessor": child.accessor}, act)

    def revoke_child(self) -> bool:
        child = self._children()[0]
        owner = next(session for session in self.worker.sessions if child in session.children)

        def act() -> dict[str, Any]:
            self.worker.client.use(child.token).auth.token.revoke_self()
            owner.children.remove(child)
            return {}

        return self.worker.run("token.revoke", {"accessor": child.accessor}, act)

    def write_cubbyhole(self) -> bool:
        session = self.worker.session
        text = self.worker.values.text(
            self.worker.ledger.lane, self.worker.ledger.number + 1, "cubbyhole"
        )

        def act() -> dict[str, Any]:
            self.worker.client.use(session.token).write_data("cubbyhole/demo", data={"text": text})
            session.cubbyhole = text
            return {}

        return self.worker.run("cubbyhole.write", {"accessor": session.accessor}, act)

    def read_cubbyhole(self) -> bool:
        session = self.worker.session

        def act() -> dict[str, Any]:
            answer = self.worker.client.use(session.token).read("cubbyhole/demo")
            expect(answer and answer["data"], {"text": session.cubbyhole}, "the cubbyhole")
            return {}

        return self.worker.run("cubbyhole.read", {"accessor": session.accessor}, act)

    def _children(self) -> list[Session]:
        return [child for session in self.worker.sessions for child in session.children]
