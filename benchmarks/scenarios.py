"""The requests that are measured, as HTTP.

What lives here: method, path, body of the n-th request of a scenario. Invariant: both load tools
and both servers get exactly these.
"""

import json
from dataclasses import dataclass

from benchmarks.servers import SECRETS, VALUE_BYTES, Access


@dataclass(frozen=True, slots=True)
class Scenario:
    """``path`` and ``body`` may hold ``%d``: a number below ``SECRETS`` that grows."""

    name: str
    method: str
    path: str
    body: str
    with_token: bool
    over_tls: bool = False
    more_headers: tuple[tuple[str, str], ...] = ()

    def address(self, access: Access) -> str:
        """Where it goes: ``http://host:port`` or ``https://host:port``."""
        return access.tls_address if self.over_tls else access.address


def scenarios(access: Access) -> list[Scenario]:
    """KV read, the same over TLS, KV write, AppRole login, token create."""
    secret = {"data": {"user": "user", "value": "w" * VALUE_BYTES}}
    login = {"role_id": access.role_id, "secret_id": access.secret_id}
    token = {"policies": ["bench"], "ttl": "1h"}
    return [
        Scenario("kv read", "GET", "/v1/kv/data/s/%d", "", True),
        Scenario("kv read, TLS", "GET", "/v1/kv/data/s/%d", "", True, over_tls=True),
        Scenario("kv write", "POST", "/v1/kv/data/s/%d", json.dumps(secret), True),
        Scenario("approle login", "POST", "/v1/auth/approle/login", json.dumps(login), False),
        Scenario("token create", "POST", "/v1/auth/token/create", json.dumps(token), True),
    ]


def headers(scenario: Scenario, access: Access) -> dict[str, str]:
    """Host, token, content type: what a client that keeps its connection sends each time."""
    found = {"Host": scenario.address(access).partition("://")[2], "X-Vault-Request": "true"}
    if scenario.with_token:
        found["X-Vault-Token"] = access.token
    if scenario.body:
        found["Content-Type"] = "application/json"
    return {**found, **dict(scenario.more_headers)}


__all__ = ["SECRETS", "Scenario", "headers", "scenarios"]
