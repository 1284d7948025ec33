"""How the fake Vault behaves: tokens that end, policies, KV, AppRole, wrapping, a seal.

What lives here: its state and the answer to each request, without HTTP. What never does: a socket,
a real clock. Invariant: what it answers, a real Vault answers; the contract suite holds both to it.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any] | None]
Handler = Callable[["Asked"], Answer]
DENIED: Answer = (403, {"errors": ["permission denied"]})
NOT_FOUND: Answer = (404, {"errors": []})
WRAP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: path without ``/v1/``."""

    method: str
    path: str
    token: str
    body: Mapping[str, Any]
    wrap: bool = False


@dataclass(slots=True)
class FakeRole:
    """A role and its policy."""

    name: str
    role_id: str
    reads: tuple[str, ...]
    token_seconds: float
    token_max_seconds: float
    secret_id_seconds: float
    secret_id_uses: int


@dataclass(slots=True)
class FakeToken:
    """A token of a role; root has none."""

    role: FakeRole | None
    ends_at: float
    last_at: float
    """Renewals do not lead beyond this."""


@dataclass(slots=True)
class FakeSecretId:
    """A secret_id of a role."""

    role: FakeRole
    accessor: str
    ends_at: float
    uses_left: int
    metadata: dict[str, Any]


@dataclass
class FakeState:
    """Everything that the fake knows. ``clock`` in seconds; ``ahead`` of it when a test says so."""

    clock: Callable[[], float]
    kv_mount: str = "zakupai"
    kv_version: int = 2
    ahead: float = 0.0
    sealed: bool = False
    root_token: str = field(default_factory=lambda: f"root-{secrets.token_hex(12)}")
    kv: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    """Path → versions; None: deleted."""
    roles: dict[str, FakeRole] = field(default_factory=dict)
    tokens: dict[str, FakeToken] = field(default_factory=dict)
    secret_ids: dict[str, FakeSecretId] = field(default_factory=dict)
    wrapped: dict[str, tuple[str, dict[str, Any], float]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """The server's time."""
        return self.clock() + self.ahead

    def answer(self, asked: Asked) -> Answer:
        """Status and body."""
        if asked.path in ("sys/seal-status", "sys/health"):
            status = 503 if self.sealed and asked.path == "sys/health" else 200
            return status, {"initialized": True, "sealed": self.sealed}
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        handler = self._open_paths().get(asked.path)
        if handler is not None:
            return handler(asked)
        token = self._token(asked.token)
        if token is None:
            return DENIED
        return self._with_token(asked, token)

    def _open_paths(self) -> dict[str, Handler]:
        return {
            "auth/approle/login": self._log_in,
            "sys/wrapping/lookup": self._wrapping_lookup,
            "sys/wrapping/unwrap": self._unwrap,
        }

    def _with_token(self, asked: Asked, token: FakeToken) -> Answer:
        own: dict[str, Callable[[], Answer]] = {
            "auth/token/lookup-self": lambda: self._lookup(token),
            "auth/token/renew-self": lambda: self._renew(asked.token, token),
            "auth/token/revoke-self": lambda: self._revoke(asked.token),
        }
        if asked.path in own:
            return own[asked.path]()
        if asked.path.startswith("sys/internal/ui/mounts/"):
            return self._mount_of(asked.path.removeprefix("sys/internal/ui/mounts/"), token)
        if asked.path.startswith("auth/approle/role/"):
            return self._role(asked) if token.role is None else DENIED
        if asked.path.startswith(f"{self.kv_mount}/"):
            return self._secret(asked, token)
        return DENIED if token.role else (404, {"errors": ["no handler for route"]})

    # -- tokens -----------------------------------------------------------------------------

    def _token(self, text: str) -> FakeToken | None:
        if text == self.root_token:
            return FakeToken(None, 0.0, 0.0)
        token = self.tokens.get(text)
        return token if token is not None and token.ends_at > self.now else None

    def _log_in(self, asked: Asked) -> Answer:
        known = self.secret_ids.get(str(asked.body.get("secret_id")))
        if (
            known is None
            or known.role.role_id != asked.body.get("role_id")
            or (known.ends_at and known.ends_at <= self.now)
        ):
            return 400, {"errors": ["invalid role or secret ID"]}
        if known.uses_left:
            known.uses_left -= 1
            if not known.uses_left:
                del self.secret_ids[str(asked.body["secret_id"])]
        role = known.role
        last_at = self.now + (role.token_max_seconds or 32 * 24 * 3600.0)
        token = FakeToken(role, min(self.now + role.token_seconds, last_at), last_at)
        text = f"fake-{secrets.token_hex(12)}"
        self.tokens[text] = token
        return self._auth(text, token)

    def _auth(self, text: str, token: FakeToken) -> Answer:
        auth = {
            "client_token": text,
            "lease_duration": round(token.ends_at - self.now),
            "renewable": token.role is not None,
            "metadata": {"role_name": token.role.name} if token.role else None,
        }
        return 200, {"data": None, "auth": auth}

    def _lookup(self, token: FakeToken) -> Answer:
        seconds = round(token.ends_at - self.now) if token.role else 0
        return 200, {"data": {"ttl": seconds, "renewable": token.role is not None}}

    def _renew(self, text: str, token: FakeToken) -> Answer:
        if token.role is None:
            return 400, {"errors": ["lease is not renewable"]}
        token.ends_at = min(self.now + token.role.token_seconds, token.last_at)
        return self._auth(text, token)

    def _revoke(self, text: str) -> Answer:
        self.tokens.pop(text, None)
        return 204, None

    # -- AppRole ----------------------------------------------------------------------------

    def _role(self, asked: Asked) -> Answer:
        name, _, rest = asked.path.removeprefix("auth/approle/role/").partition("/")
        role = self.roles.get(name)
        if role is None:
            return NOT_FOUND
        match rest:
            case "role-id":
                return 200, {"data": {"role_id": role.role_id}}
            case "secret-id" if asked.method == "LIST":
                known = [one.accessor for one in self.secret_ids.values() if one.role is role]
                return (200, {"data": {"keys": known}}) if known else NOT_FOUND
            case "secret-id":
                return self._make_secret_id(asked, role)
            case "secret-id-accessor/lookup":
                return self._look_up(str(asked.body.get("secret_id_accessor")), role)
            case "secret-id/lookup":
                found = self.secret_ids.get(str(asked.body.get("secret_id")))
                if found is None or found.role is not role:
                    return 204, None
                return 200, {"data": {"secret_id_accessor": found.accessor}}
            case "secret-id-accessor/destroy":
                return self._destroy(str(asked.body.get("secret_id_accessor")), role)
        return 404, {"errors": ["unsupported path"]}

    def _make_secret_id(self, asked: Asked, role: FakeRole) -> Answer:
        text, accessor = secrets.token_hex(16), secrets.token_hex(16)
        ends_at = self.now + role.secret_id_seconds if role.secret_id_seconds else 0.0
        metadata = json.loads(asked.body.get("metadata") or "{}")
        self.secret_ids[text] = FakeSecretId(role, accessor, ends_at, role.secret_id_uses, metadata)
        data = {
            "secret_id": text,
            "secret_id_accessor": accessor,
            "secret_id_ttl": int(role.secret_id_seconds),
            "secret_id_num_uses": role.secret_id_uses,
        }
        if not asked.wrap:
            return 200, {"data": data}
        token = f"wrap-{secrets.token_hex(12)}"
        self.wrapped[token] = (asked.path, data, self.now + WRAP_SECONDS)
        return 200, {"data": None, "wrap_info": {"token": token, "creation_path": asked.path}}

    def _look_up(self, accessor: str, role: FakeRole) -> Answer:
        for known in self.secret_ids.values():
            if known.accessor == accessor and known.role is role:
                return 200, {"data": {"secret_id_accessor": accessor, "metadata": known.metadata}}
        return 404, {"errors": ["failed to find accessor entry"]}

    def _destroy(self, accessor: str, role: FakeRole) -> Answer:
        for text, known in list(self.secret_ids.items()):
            if known.accessor == accessor and known.role is role:
                del self.secret_ids[text]
                return 204, None
        return 404, {"errors": ["failed to find accessor entry"]}

    def _wrapping_lookup(self, asked: Asked) -> Answer:
        found = self.wrapped.get(str(asked.body.get("token") or asked.token))
        if found is None or found[2] <= self.now:
            return _not_wrapped()
        return 200, {"data": {"creation_path": found[0], "creation_ttl": int(WRAP_SECONDS)}}

    def _unwrap(self, asked: Asked) -> Answer:
        found = self.wrapped.pop(str(asked.body.get("token") or asked.token), None)
        if found is None or found[2] <= self.now:
            return _not_wrapped()
        return 200, {"data": found[1]}

    # -- KV ---------------------------------------------------------------------------------

    def _mount_of(self, path: str, token: FakeToken) -> Answer:
        inside = f"{path}/".startswith(f"{self.kv_mount}/")
        if not inside or (token.role is not None and not token.role.reads):
            return 403, {"errors": ["preflight capability check returned 403"]}
        options = {"version": str(self.kv_version)} if self.kv_version == 2 else {}
        return 200, {"data": {"path": f"{self.kv_mount}/", "type": "kv", "options": options}}

    def _secret(self, asked: Asked, token: FakeToken) -> Answer:
        path = asked.path.removeprefix(f"{self.kv_mount}/")
        if self.kv_version == 2:
            path = path.removeprefix("data/") if path.startswith("data/") else ""
        if token.role is not None and not may_read(token.role.reads, path):
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        if asked.method != "GET":
            return 405, {"errors": ["the fake is written to by its controls"]}
        versions = self.kv.get(path) or [None]
        newest = versions[-1]
        if self.kv_version == 1:
            return (200, {"data": newest}) if newest is not None else NOT_FOUND
        if path not in self.kv:
            return NOT_FOUND
        deleted_at = "" if newest is not None else "2026-01-01T00:00:00Z"
        metadata = {"version": len(versions), "deletion_time": deleted_at, "destroyed": False}
        return 200 if newest is not None else 404, {"data": {"data": newest, "metadata": metadata}}


def may_read(reads: Sequence[str], path: str) -> bool:
    """A policy's paths: exact, or everything that begins with what stands before ``*``."""
    return any(path.startswith(one[:-1]) if one.endswith("*") else path == one for one in reads)


def _not_wrapped() -> Answer:
    return 400, {"errors": ["wrapping token is not valid or does not exist"]}
