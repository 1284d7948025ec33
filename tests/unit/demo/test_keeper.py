"""Whatever is written into the demo's Vault for the services is searched for in every file."""

from types import SimpleNamespace
from typing import Any

import pytest

from demo.estate.keeper import DemoKeeper


def test_every_value_that_was_ever_written_is_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: str, __: object, *, cas: int, mount_point: str) -> dict[str, Any]:
        return {"data": {"version": cas + 1}}

    kv = SimpleNamespace(v2=SimpleNamespace(create_or_update_secret=write))
    client = SimpleNamespace(secrets=SimpleNamespace(kv=kv))
    monkeypatch.setattr(DemoKeeper, "_client", lambda _: client)
    looking: Any = SimpleNamespace(world=SimpleNamespace(secrets={}, mount_max=10))
    nobody: Any = None
    keeper = DemoKeeper(nobody, nobody, (), looking, nobody)
    path = "services/calc/database"
    keeper.write(path, {"user": "calc", "password": "the-first-password"})
    keeper.write(path, {"user": "calc", "password": "the-second-password"})
    keeper.write("services/gateway/jwt", {"keys": [{"kid": "1", "pem": "the-private-key"}]})
    assert keeper.hidden == [
        (f"{path}: password", "the-first-password"),
        (f"{path}: password", "the-second-password"),
        ("services/gateway/jwt: keys", "the-private-key"),
    ]
    assert looking.world.secrets[path].current == 2
