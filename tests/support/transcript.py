"""Plays recorded requests to a fresh server, as they were once played to a real Vault.

What lives here: the preparation (init, unseal), what an answer hands to later requests, and the
normal form of answers: what differs from run to run has a name instead. Comparing is the tests'.
Invariant: nothing but volatile text is replaced; a missing or an extra field always shows.
"""

import base64
import http.client
import json
import re
import time
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

SHARES, THRESHOLD = 5, 3
BEFORE_INIT = "before-init"
READY_SECONDS = 20.0
NAMES = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n?", "<pem>"),
        (r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9=])", "<b64-32>"),
        (r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{21}[AQgw]==", "<b64-16>"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
        (r"\b(hvs|hvb|s|b)\.[A-Za-z0-9_-]{20,}", "<token>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"hmac-sha256:[0-9a-f]{64}", "<hmac>"),
        (r"\b(auth_)?[a-z]+_[0-9a-f]{8}\b", "<accessor-id>"),
        (r"vault:v(\d+):[A-Za-z0-9+/=_-]+", r"vault:v\1:<ct>"),
        (r"\b[A-Za-z0-9]{24}\b", "<b62-24>"),
        (r"127\.0\.0\.1:\d+", "<addr>"),
        (r"vault-cluster-[0-9a-f]{8}", "<cluster>"),
    )
]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VOLATILE = frozenset(
    [
        "request_id",
        "creation_time",
        "expire_time_unix",
        "issue_time",
        "expire_time",
        "last_renewal_time",
        "last_renewal",
        "cluster_id",
        "cluster_name",
        "server_time_utc",
        "version",
        "build_date",
        "commit_date",
        "uuid",
        "nonce",
        "otp",
        "random_bytes",
        "plaintext_key",
        "backup",
        "install_time",
        "encryptions",
        "timestamp_installed",
        "echo_duration_ms",
        "clock_skew_ms",
        "hostname",
    ]
)
LIFETIMES = ("ttl", "lease_duration", "creation_ttl")
SENT_AS_IT_IS = "/?=&%:+,~!*'()@$;[]<>{}|^"
EPOCHS = range(1_600_000_001, 2_200_000_000)


def normal(value: Any, key: str = "") -> Any:
    """An answer without what differs from run to run; the form of the recorded answers."""
    if isinstance(value, dict):
        return {UUID.sub("<uuid>", name): _field(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [normal(inner, key) for inner in value]
    if isinstance(value, str):
        for pattern, name in NAMES:
            value = pattern.sub(name, value)
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value in EPOCHS:
        return "<epoch>"
    if key in LIFETIMES and isinstance(value, int | float) and value > 10:
        return f"~{round(value / 60)}m"
    return value


def _field(name: str, value: Any) -> Any:
    counted = name == "version" and isinstance(value, int)  # of a secret or a key, not a server's
    if name in VOLATILE and not counted and value not in ("", None):
        return "<v>"
    return normal(value, name)


Answer = tuple[int, str | None, Any]
"""Status, content type, body."""


class Player:
    """One server and what earlier answers gave: tokens, ids, shares."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self.known: dict[str, str] = {"bogus": "hvs." + "b" * 24}
        for number, name in enumerate(("wrong", "wrong2"), start=1):
            share = bytes([number]) * 32 + bytes([200 + number])
            self.known[name] = base64.b64encode(share).decode()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "",
        headers: dict[str, str] | None = None,
        raw: str | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        sent = {**(headers or {}), **({"X-Vault-Token": token} if token else {})}
        data = raw if raw is not None else None if body is None else json.dumps(body)
        with closing(http.client.HTTPConnection(self._host, timeout=60)) as connection:
            connection.request(method, f"/v1/{path}", data and data.encode(), sent)
            answer = connection.getresponse()
            text = answer.read()
            kind = answer.getheader("Content-Type")
        try:
            found = json.loads(text) if text else None
        except ValueError:
            found = {"_text": text.decode("utf-8", "replace")[:300]}
        return answer.status, kind, found

    def open(self) -> None:
        """Init and unseal, keeping shares and root token; waits until the server is active."""
        status, _, made = self.ask(
            "PUT", "sys/init", {"secret_shares": SHARES, "secret_threshold": THRESHOLD}
        )
        assert status == 200, made
        self.known["root"] = made["root_token"]
        for number, key in enumerate(made["keys_base64"]):
            self.known[f"k{number}"] = key
        for key in made["keys_base64"][:THRESHOLD]:
            self.ask("PUT", "sys/unseal", {"key": key})
        deadline = time.monotonic() + READY_SECONDS
        while self.ask("GET", "sys/health")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def fill(self, value: Any) -> Any:
        """``{name}`` in a request becomes what an earlier answer called so."""
        if isinstance(value, str):
            return re.sub(r"\{(\w[\w-]*)\}", lambda m: self.known.get(m[1], m[0]), value)
        if isinstance(value, dict):
            return {key: self.fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner) for inner in value]
        return value

    def play(self, step: dict[str, Any]) -> Answer:
        """One recorded step; the answer in normal form. Keeps what the step captures."""
        token = step["token"]
        status, kind, found = self.ask(
            step["method"],
            quote(self.fill(step["path"]), safe=SENT_AS_IT_IS),
            self.fill(step["body"]),
            "" if token is None else self.known.get(token, token),
            self.fill(step.get("headers")),
            step.get("raw"),
        )
        for name, where in (step.get("capture") or {}).items():
            value = found
            for part in where.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                self.known[name] = str(value)
        return status, kind, normal(found)
