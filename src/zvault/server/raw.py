"""The endpoints that answer without envelope and without token.

What lives here: init, seal-status, unseal, health, leader, metrics: bodies and statuses as Vault
has them. What never does: envelopes, tokens.
Source: ``vault-api.md`` 2.1 to 2.6, 10.1.
"""

import base64
from typing import Any

import orjson

from zvault.base.gotime import ZERO_TIME
from zvault.engine.errors import CodedError, InvalidRequestError
from zvault.engine.seal.shares import read_share
from zvault.engine.status import SealStatus
from zvault.server.answers import JSON, Answer
from zvault.server.engine_port import EnginePort
from zvault.server.translate import Query, is_true, read_json

PROMETHEUS_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_RECOVERY = ("recovery_shares", "recovery_threshold", "recovery_pgp_keys")
_PGP = ("pgp_keys", "root_token_pgp_key")


def json_answer(value: Any, status: int = 200) -> Answer:
    """A value as it is, with Go's trailing line feed."""
    return Answer(status, orjson.dumps(value) + b"\n")


def read_fields(body: bytes) -> dict[str, Any]:
    """A raw handler's parameters: names in any case, null means absent."""
    found = read_json(body) if body else {}
    return {name.lower(): value for name, value in found.items() if value is not None}


def _whole_number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(
            f"failed to parse JSON input: {name} is expected to be a whole number"
        )
    return value


async def initialize(engine: EnginePort, body: bytes) -> Answer:
    """PUT sys/init."""
    fields = read_fields(body)
    if any(fields.get(name) for name in _RECOVERY):
        raise InvalidRequestError(
            f"parameters {','.join(_RECOVERY)} not applicable to seal type shamir"
        )
    if any(fields.get(name) for name in _PGP):
        raise InvalidRequestError("this server does not encrypt shares with PGP keys")
    outcome = await engine.initialize(
        _whole_number(fields, "secret_shares"), _whole_number(fields, "secret_threshold")
    )
    keys = [key.reveal() for key in outcome.keys]
    return json_answer(
        {
            "keys": [key.hex() for key in keys],
            "keys_base64": [base64.b64encode(key).decode() for key in keys],
            "root_token": outcome.root_token.reveal_text(),
        }
    )


async def init_status(engine: EnginePort) -> Answer:
    """GET sys/init."""
    return json_answer({"initialized": (await engine.seal_status()).initialized})


def seal_status_body(status: SealStatus) -> dict[str, Any]:
    """Body of seal-status and unseal, keys in Vault's order."""
    cluster = {"cluster_name": status.cluster_name, "cluster_id": status.cluster_id}
    return {
        "type": "shamir",
        "initialized": status.initialized,
        "sealed": status.sealed,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
        "nonce": status.nonce,
        "version": status.version,
        "build_date": status.build_date,
        "migration": False,
        **({name: value for name, value in cluster.items() if value}),
        "recovery_seal": False,
        "storage_type": status.storage_type,
    }


async def seal_status(engine: EnginePort) -> Answer:
    """GET sys/seal-status."""
    return json_answer(seal_status_body(await engine.seal_status()))


async def unseal(engine: EnginePort, body: bytes) -> Answer:
    """PUT sys/unseal."""
    fields = read_fields(body)
    if fields.get("migrate") is True:
        raise InvalidRequestError("can't perform a seal migration, no migration seal found")
    if fields.get("reset") is True:
        return json_answer(seal_status_body(await engine.reset_unseal()))
    key = fields.get("key")
    if not isinstance(key, str) or not key:
        raise InvalidRequestError(
            "'key' must be specified in request body as JSON, or 'reset' set to true"
        )
    return json_answer(seal_status_body(await engine.submit_share(read_share(key))))


async def health(engine: EnginePort, query: Query, *, draining: bool) -> Answer:
    """GET sys/health. While draining the code is that of a sealed server, so that proxies leave."""
    for name in ("standbyok", "perfstandbyok"):
        if name in query:
            is_true(query[name][0])
    codes = {"activecode": 200, "sealedcode": 503, "uninitcode": 501}
    for name in (*codes, "standbycode", "performancestandbycode", "drsecondarycode"):
        if name in query:
            codes[name] = _code(query[name][0])
    status = await engine.health()
    if not status.initialized:
        code = codes["uninitcode"]
    elif status.sealed or draining:
        code = codes["sealedcode"]
    else:
        code = codes["activecode"]
    down = status.sealed or not status.initialized
    mode = "unknown" if down else "disabled"
    body = {
        "initialized": status.initialized,
        "sealed": status.sealed,
        "standby": down,
        "performance_standby": False,
        "replication_performance_mode": mode,
        "replication_dr_mode": mode,
        "server_time_utc": status.server_time_seconds,
        "version": status.version,
    }
    for name, value in (("cluster_name", status.cluster_name), ("cluster_id", status.cluster_id)):
        if value:
            body[name] = value
    return json_answer(body, code)


def _code(text: str) -> int:
    if not text.isdecimal() or not 200 <= int(text) <= 599:
        raise CodedError(400)
    return int(text)


def leader() -> Answer:
    """GET sys/leader of a server that is alone."""
    return json_answer(
        {
            "ha_enabled": False,
            "is_self": False,
            "active_time": ZERO_TIME,
            "leader_address": "",
            "leader_cluster_address": "",
            "performance_standby": False,
            "performance_standby_last_remote_wal": 0,
        }
    )


def metrics(engine: EnginePort, query: Query, accept: bytes, *, prometheus: bool) -> Answer:
    """GET sys/metrics, once the caller may see it."""
    kind = query.get("format", [""])[0]
    wants_text = b"application/openmetrics-text" in accept or b"prometheus/telemetry" in accept
    if kind == "prometheus" or (not kind and wants_text):
        if not prometheus:
            return Answer(400, b"prometheus is not enabled", b"text/plain")
        return Answer(200, engine.metrics.render_prometheus().encode(), PROMETHEUS_TEXT)
    if kind:
        text = f'metric response format "{kind}" unknown'
        return Answer(400, text.encode(), b"text/plain")
    return Answer(200, engine.metrics.render_json(), JSON)
