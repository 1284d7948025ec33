"""A person at the gateway: invited, logged in, with an API key. What ``demo`` uses as well.

What lives here: the calls. What never does: an opinion about their answers beyond the status.
Invariant: passwords, tokens and keys stay in this process; no error quotes an answer.
"""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from launcher.estate import Estate
from launcher.programs import beside_python, plain_environment, run_once
from launcher.smoke.checks import CheckFailedError
from launcher.smoke.expected import Lot

TIMEOUT_SECONDS = 60.0
_TRIES, _LONGEST_WAIT_SECONDS = 6, 5.0
Headers = dict[str, str]


@dataclass
class Person:
    """Whoever asks at ``gateway``; ``bearer`` and ``key`` once they were given."""

    gateway: str
    tg_id: int
    email: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    refresh_token: str = field(default="", repr=False)
    bearer: Headers = field(default_factory=dict, repr=False)
    key: Headers = field(default_factory=dict, repr=False)
    key_id: str = ""
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def ask(
        self, method: str, path: str, headers: Headers, body: Any = None, file: bytes | None = None
    ) -> requests.Response:
        """One request, never sent twice; ``file`` is a body as it is."""
        return self.session.request(
            method,
            self.gateway + path,
            json=body,
            data=file,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )

    def get(
        self, method: str, path: str, headers: Headers, body: Any = None, status: int = 200
    ) -> Any:
        """The JSON of an answer with this status. Raises CheckFailedError for another."""
        return _content(f"{method} {path}", self.ask(method, path, headers, body), status)

    def upload(self, table: str) -> Any:
        """A CSV for etl; the upload as it was kept. Raises CheckFailedError."""
        path, headers = "/api/etl/upload-batch", {**self.bearer, "Content-Type": "text/csv"}
        answer = self.ask("POST", path, headers, file=table.encode())
        return _content(f"POST {path}", answer, 201)

    def choose_password(self, invitation: str) -> None:
        """Use the invitation up."""
        body = {"invitation": invitation, "password": self.password}
        self._patiently("/auth/password", body, 204)

    def log_in(self) -> None:
        """An access token and a refresh token."""
        body = {"email": self.email, "password": self.password}
        self._take(self._patiently("/auth/login", body, 200))

    def refresh(self) -> None:
        """The next two tokens."""
        body = {"refresh_token": self.refresh_token}
        self._take(self.get("POST", "/auth/refresh", {}, body))

    def make_key(self) -> None:
        """An API key of its own."""
        body = {"tg_id": self.tg_id}
        made = self.get("POST", "/api/billing/create_key", self.bearer, body, 201)
        self.key, self.key_id = {"X-API-Key": str(made["api_key"])}, str(made["key_id"])

    def buy_premium(self) -> None:
        """Announce a payment and confirm it; needs the scope ``billing:admin``."""
        asked = {"tg_id": self.tg_id, "plan": "premium", "method": "smoke"}
        asked["external_id"] = secrets.token_hex(12)
        payment = self.get("POST", "/api/billing/payments", self.bearer, asked)
        money = {"amount": payment["amount"], "currency": payment["currency"]}
        path = f"/api/billing/payments/{payment['payment_id']}/confirm"
        self.get("POST", path, self.bearer, money)

    def keep_lot(self, number: int, lot: Lot) -> None:
        """From now on risk-engine knows the lot; needs the scope ``risk:write``."""
        body = {
            "title": "Лот",
            "price": lot.price,
            "customer_bin": "123456789012",
            "plan_id": 1,
            "deadline": (datetime.now(UTC) + timedelta(days=40)).isoformat(),
            "prices": [
                {"source": "smoke", "price": one, "quantity": count} for one, count in lot.market
            ],
        }
        self.get("PUT", f"/api/risk-engine/risk/lots/{number}", self.bearer, body)

    @property
    def user(self) -> str:
        """Billing's id of the person, as the access token names it."""
        text = self.bearer["Authorization"].split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["sub"])

    def _patiently(self, path: str, body: dict[str, str], status: int) -> Any:
        """What tries passwords is closed while Redis takes more than 0.2 s: a busy machine's."""
        for _ in range(_TRIES):
            answer = self.ask("POST", path, {}, body)
            if answer.status_code != 503:
                break
            time.sleep(min(float(answer.headers.get("Retry-After", "1")), _LONGEST_WAIT_SECONDS))
        return _content(f"POST {path}", answer, status)

    def _take(self, pair: dict[str, Any]) -> None:
        self.refresh_token = str(pair["refresh_token"])
        self.bearer = {"Authorization": f"Bearer {pair['access_token']}"}


def _content(what: str, answer: requests.Response, status: int) -> Any:
    if answer.status_code != status:
        raise CheckFailedError(f"{what} was answered with {answer.status_code}, not {status}")
    return answer.json() if answer.content else None


def invite(estate: Estate, *scopes: str) -> Person:
    """A new person who chose a password and logged in, by the operator's own command."""
    gateway = estate.service("gateway")
    tg_id = secrets.randbelow(2**50) + 1
    person = Person(estate.place.url(gateway.name), tg_id, f"u{tg_id}@example.kz")
    out = Path(estate.place.work, "private", f"invitation-{secrets.token_hex(4)}")
    argv: list[str | Path] = [beside_python("zakupai-gateway-invite"), "--tg-id", str(tg_id)]
    argv += ["--email", person.email, "--out", out]
    for scope in scopes:
        argv += ["--scope", scope]
    environment = {**plain_environment(estate.place.work), **estate.environment(gateway)}
    try:
        run_once(argv, environment)
        person.choose_password(out.read_text())
    finally:
        out.unlink(missing_ok=True)
    person.log_in()
    return person
