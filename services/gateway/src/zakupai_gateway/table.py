"""What the gateway lets through: the services behind it, their limits, what is public.

What lives here: the table as a value and its reader. What never does: addresses (the environment
names them), requests.
Invariant: the table is read whole or not at all, an unknown word in it is an error; no request can
name an upstream that is not in it.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zakupai_common.web.body_limit import DEFAULT_BYTES
from zakupai_gateway.limits.gcra import Limit
from zakupai_gateway.limits.limiter import Away


class TableError(ValueError):
    """The table or an address cannot be used; the text says where."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service behind the gateway. ``public``: method and path that need no login."""

    name: str
    address: str
    """``http://host:port``, nothing after it."""
    limit: Limit
    prefix: str = ""
    """What its own paths begin with; clients leave it out."""
    public: frozenset[tuple[str, str]] = frozenset()
    body_limit_bytes: int = DEFAULT_BYTES
    answer_seconds: float = 30.0
    """How long it may be silent: before its answer and within it."""
    redis_away: Away = Away.LOCAL


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """For what tries a password."""

    ip: Limit
    account: Limit
    account_and_ip: Limit
    redis_away: Away


@dataclass(frozen=True, slots=True)
class RefreshLimits:
    """For what shows a refresh token."""

    ip: Limit
    redis_away: Away


@dataclass(frozen=True, slots=True)
class Table:
    """All of it. ``ip``, ``user`` and ``key`` hold for every request below ``/api/``.

    ``absent``: services that are named and have no address here; requests to them get 503.
    """

    ip: Limit
    user: Limit
    key: Limit
    lookup: Limit
    """Of API keys that are not in memory, for one address."""
    login: LoginLimits
    refresh: RefreshLimits
    upstreams: Mapping[str, Upstream]
    absent: frozenset[str]


def service_names(content: Mapping[str, Any]) -> list[str]:
    """The services that a table names. Raises TableError."""
    return [str(one.get("name")) for one in _list(content, "service")]


def load(file: Path | None = None) -> dict[str, Any]:
    """The table's text as values; the package's own without ``file``. Raises TableError."""
    source = file or files("zakupai_gateway").joinpath("table.toml")
    try:
        return tomllib.loads(source.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"the table cannot be read: {error}") from None


def read(content: Mapping[str, Any], addresses: Mapping[str, str]) -> Table:
    """The table, with an address for each of its services. Raises TableError."""
    content = dict(content)
    limits, login = _part(content, "limits"), _part(content, "login")
    refresh = _part(content, "refresh")
    names = service_names(content)
    if len(set(names)) != len(names):
        raise TableError("two services have one name")
    absent = frozenset(names) - set(addresses)
    upstreams = [
        _upstream(dict(one), addresses)
        for one in _list(content, "service")
        if one["name"] not in absent
    ]
    content.pop("service", None)
    table = Table(
        _limit(limits, "ip"),
        _limit(limits, "user"),
        _limit(limits, "key"),
        _limit(limits, "lookup"),
        LoginLimits(
            _limit(login, "ip"),
            _limit(login, "account"),
            _limit(login, "account_and_ip"),
            _away(login),
        ),
        RefreshLimits(_limit(refresh, "ip"), _away(refresh)),
        {one.name: one for one in upstreams},
        absent,
    )
    for name, part in (("", content), ("limits", limits), ("login", login), ("refresh", refresh)):
        _nothing_left(name, part)
    return table


def _upstream(part: dict[str, Any], addresses: Mapping[str, str]) -> Upstream:
    name = str(part.pop("name", ""))
    upstream = Upstream(
        name,
        _address(name, addresses),
        _limit(part, "limit"),
        _prefix(part),
        frozenset(_public(one) for one in part.pop("public", [])),
        int(_number(part, "body_limit_bytes", DEFAULT_BYTES)),
        _number(part, "answer_seconds", 30.0),
        _away(part),
    )
    _nothing_left(f"service {name}", part)
    return upstream


def _address(name: str, addresses: Mapping[str, str]) -> str:
    address = addresses.get(name, "").rstrip("/")
    parts = urlsplit(address)
    try:
        whole = parts.scheme == "http" and parts.hostname and parts.port
    except ValueError:
        whole = None
    if not whole or parts.path or parts.query or parts.fragment or parts.username:
        raise TableError(f"service {name!r} needs an address of the form http://HOST:PORT")
    return address


def _prefix(part: dict[str, Any]) -> str:
    found = part.pop("prefix", "")
    if not re.fullmatch(r"(?:/[a-z0-9-]+)*", str(found)):
        raise TableError(f"prefix: {found!r} is not of the form '/word'")
    return str(found)


def _public(text: str) -> tuple[str, str]:
    method, _, path = str(text).partition(" ")
    if not method.isupper() or not path.startswith("/"):
        raise TableError(f"public: {text!r} is not of the form 'GET /path'")
    return method, path


def _part(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.pop(name, None)
    if not isinstance(found, dict):
        raise TableError(f"the table has no [{name}]")
    return dict(found)


def _list(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TableError(f"{name} is no list of tables")
    return found


def _limit(part: dict[str, Any], name: str) -> Limit:
    found = part.pop(name, None)
    if not isinstance(found, dict) or set(found) != {"requests", "seconds"}:
        raise TableError(f"{name} is not of the form {{ requests = N, seconds = N }}")
    requests = _number(found, "requests", 0)
    try:
        return Limit(int(requests), _number(found, "seconds", 0))
    except ValueError as error:
        raise TableError(f"{name}: {error}") from None


def _number(part: dict[str, Any], name: str, default: float) -> float:
    found = part.pop(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise TableError(f"{name} is no number above 0")
    return found


def _away(part: dict[str, Any]) -> Away:
    found = part.pop("redis_away", Away.LOCAL)
    try:
        return Away(found)
    except ValueError:
        raise TableError(f"redis_away: {found!r} is none of local, open, closed") from None


def _nothing_left(where: str, part: Mapping[str, Any]) -> None:
    if part:
        raise TableError(f"{where or 'the table'} has words nobody knows: {', '.join(part)}")
