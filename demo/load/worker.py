"""What all acts of a lane share: client, ledger, the tokens in use, the check on the spot."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.load.client import Client
from demo.load.ledger import Ledger
from demo.load.values import Values


class WrongAnswerError(Exception):
    """The server answered, but not what it must."""


def expect(found: Any, wanted: Any, what: str) -> None:
    """Raise WrongAnswerError when they differ; the values themselves stay out of the text."""
    if found != wanted:
        raise WrongAnswerError(f"{what} is not what it must be")


@dataclass
class Session:
    """A live token and what hangs on it. The token itself never leaves this process."""

    token: str = field(repr=False)
    accessor: str
    children: list["Session"] = field(default_factory=list)
    cubbyhole: str = field(default="", repr=False)


@dataclass
class Worker:
    """One lane's hands. ``sessions``: its live logins, the youngest last."""

    service: str
    client: Client
    ledger: Ledger
    values: Values
    chance: random.Random
    sessions: list[Session]

    @property
    def session(self) -> Session:
        """The token in use: the youngest login."""
        return self.sessions[-1]

    @property
    def kv(self) -> Any:
        """hvac's KV v2 with the token in use."""
        return self.client.use(self.session.token).secrets.kv.v2

    def run(
        self,
        kind: str,
        intent: dict[str, Any],
        act: Callable[[], dict[str, Any]],
        then: Callable[[dict[str, Any]], object] = lambda got: None,
    ) -> bool:
        """One operation into the ledger; ``then`` remembers what it changed."""

        def act_and_remember() -> dict[str, Any]:
            got = act()
            then(got)
            return got

        return self.ledger.run(kind, intent, act_and_remember)
