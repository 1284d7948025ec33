"""A person's way: gateway, calc, risk-engine, PostgreSQL; once with a JWT, again with an API key.

What lives here: the requests and what must be true after each. What never does: a value that is
taken from the answer it judges; rows are read back from PostgreSQL by its administrator.
"""

import secrets
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from launcher.estate import Estate
from launcher.place import OUTSIDE
from launcher.smoke.checks import Check, CheckFailedError, require, wait_for
from launcher.smoke.expected import LOTS, VAT_PERCENT, Lot, base_of
from launcher.smoke.person import Headers, Person, invite

_SETTLE_SECONDS = 15.0
"""The gateway tells billing what a key did when it forgets it, after 5 seconds."""


@dataclass
class Journey:
    """State that later checks need.

    ``lots``: what will be scored; ``errors``: how many failures of goszakup were caused.
    """

    estate: Estate
    lots: tuple[Lot, ...] = LOTS
    scored: list[Lot] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    _person: Person | None = None
    _first_lot: int = field(default_factory=lambda: secrets.randbelow(2**61) + 1)
    _with_key: int = 0

    def checks(self) -> list[Check]:
        """In the order in which they are made."""
        return [
            Check("gateway: nobody passes without a login", self.strangers),
            Check("gateway: invited, password chosen, logged in", self.log_in),
            Check("calc with a JWT: row in PostgreSQL", lambda: self.calculate(self.bearer)),
            Check("risk-engine with a JWT: rows in PostgreSQL", self.score_all),
            Check("risk-engine: registry asked, state in PostgreSQL", self.ask_registry),
            Check("risk-engine: failures of goszakup are survived", self.meet_failures),
            Check("billing: an API key is made", self.make_key),
            Check("calc with the API key: row in PostgreSQL", lambda: self.calculate(self.key)),
            Check("risk-engine with the API key: row in PostgreSQL", self.score_with_key),
            Check("billing: every request of the key is counted", self.counted),
            Check("billing: a revoked key is refused", self.revoke),
        ]

    @property
    def person(self) -> Person:
        """Who asks. Raises CheckFailedError before the login."""
        if self._person is None:
            raise CheckFailedError("nobody is logged in")
        return self._person

    @property
    def bearer(self) -> Headers:
        return self.person.bearer

    @property
    def key(self) -> Headers:
        """The API key. Raises CheckFailedError before it was made."""
        if not self.person.key:
            raise CheckFailedError("there is no API key")
        return self.person.key

    def strangers(self) -> str:
        nobody = Person(self.estate.place.url("gateway"), 0, "")
        nonsense: list[Headers] = [{}, {"Authorization": "Bearer x.y.z"}, {"X-API-Key": "zk_no"}]
        for headers in nonsense:
            for service in self.estate.services:
                if service.guard is None:
                    path = f"/api/{service.name}/info"
                    found = nobody.ask("GET", path, headers).status_code
                    require(found == 401, f"{path} is answered with {found}")
        return "401 from each service's path, three ways"

    def log_in(self) -> str:
        self._person = invite(self.estate, "risk:write", "billing:admin")
        return "access token and refresh token"

    def calculate(self, headers: Headers) -> str:
        """VAT inside an amount that nobody has asked for before."""
        amount = Decimal(secrets.randbelow(10**9) + 1) / 100
        asked = {"amount": str(amount), "rate_percent": str(VAT_PERCENT), "included": True}
        answer = self._get("POST", "/api/calc/vat", headers, asked)
        base = base_of(amount)
        told = tuple(Decimal(answer[name]) for name in ("base", "vat", "total"))
        require(told == (base, amount - base, amount), f"VAT of {amount} is not {amount - base}")
        number = answer["calculation_id"]
        path = f"/api/calc/history/{number}"
        kept = self._get("GET", path, headers)
        require(kept["kind"] == "vat", "the history does not have it")
        row = self._row(
            "calc", "SELECT user_id, kind, input, results FROM finance_calcs WHERE id = %s", number
        )
        user, kind, given, results = row
        require((user, kind) == (self.person.user, "vat"), "the row is another user's")
        require(Decimal(given["amount"]) == amount, "the row has another amount")
        require(Decimal(results["base"]) == base, "the row has another result")
        return f"{amount} = {base} + {amount - base}"

    def score_all(self) -> str:
        for number, lot in enumerate(self.lots):
            self.person.keep_lot(self._first_lot + number, lot)
            self._score(self._first_lot + number, lot, self.bearer)
        violating = sum(bool(lot.violates) for lot in self.lots)
        return f"{len(self.lots)} lots, {violating} of them violate"

    def score_with_key(self) -> str:
        """A lot that is there already: the ratio counts its last evaluation only."""
        self._score(self._first_lot, self.lots[0], self.key)
        explained = self._get("GET", f"/api/risk-engine/risk/explain/{self._first_lot}", self.key)
        require(
            explained["anti_dumping_violation"] is LOTS[0].violates, "it is explained otherwise"
        )
        return "scored and explained"

    def ask_registry(self) -> str:
        """goszakup's stand-in answers 401 unless it sees the token that lies in Vault."""
        number = self._new_bin()
        self._direct(f"rnu/{number}", {"status": "Заблокирован"})
        found = self._get("GET", f"/api/risk-engine/validate_rnu/{number}", self.bearer)
        require((found["state"], found["blocked"]) == ("BLOCKED", True), "it is not BLOCKED")
        query = "SELECT state FROM rnu_validation_cache WHERE bin = %s"
        require(self._row("risk-engine", query, number) == ("BLOCKED",), "the row says otherwise")
        return "BLOCKED"

    def meet_failures(self) -> str:
        """Each is ordered from the stand-in, so how often what fails is known from here alone."""
        faults = (
            (["500"], "server_error", 200),
            (["cut", "cut"], "connection", 200),
            (["garbage"], "garbage", 200),
            (["401"], "unauthorized", 503),
        )
        for acts, reason, wanted in faults:
            self._direct("acts", acts)
            self.errors[reason] = self.errors.get(reason, 0) + len(acts)
            path = f"/api/risk-engine/validate_rnu/{self._new_bin()}"
            self._get("GET", path, self.bearer, status=wanted)
        after = f"/api/risk-engine/validate_rnu/{self._new_bin()}"
        self._get("GET", after, self.bearer)
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.errors.items()))

    def make_key(self) -> str:
        self.person.make_key()
        return self.person.key_id

    def counted(self) -> str:
        """Calls are counted when the gateway settles with billing."""
        path = f"/api/billing/stats/{self.person.tg_id}"

        def used() -> int:
            return int(self._get("GET", path, self.bearer)["used_today"])

        wait_for(
            lambda: used() == self._with_key,
            _SETTLE_SECONDS,
            f"billing does not count {self._with_key} requests",
        )
        return f"{self._with_key} requests"

    def revoke(self) -> str:
        body = {"tg_id": self.person.tg_id, "key_id": self.person.key_id}
        self._get("POST", "/api/billing/revoke_key", self.bearer, body, 204)
        wait_for(
            lambda: self.person.ask("GET", "/api/calc/history", self.key).status_code == 401,
            _SETTLE_SECONDS,
            "the key still opens",
        )
        return "401"

    def _score(self, number: int, lot: Lot, headers: Headers) -> None:
        answer = self._get("POST", "/api/risk-engine/risk/score", headers, {"lot_id": number})
        if lot not in self.scored:
            self.scored.append(lot)
        query = "SELECT lot_id, user_id, violation FROM risk_evaluations WHERE id = %s"
        row = self._row("risk-engine", query, answer["evaluation_id"])
        wanted = (number, self.person.user, lot.violates)
        require(row == wanted, f"the evaluation of a lot for {lot.price} is another in PostgreSQL")

    def _get(
        self, method: str, path: str, headers: Headers, body: Any = None, status: int = 200
    ) -> Any:
        if "X-API-Key" in headers:
            self._with_key += 1
        return self.person.get(method, path, headers, body, status)

    def _row(self, service: str, query: str, *values: object) -> tuple[Any, ...]:
        """The one row of a query, read by PostgreSQL's administrator."""
        with self.estate.postgres.connect(service) as connection:
            found = connection.execute(query, values).fetchall()
        require(len(found) == 1, f"PostgreSQL has {len(found)} such rows")
        return found[0]

    def _direct(self, what: str, told: object) -> None:
        """Tell the stand-ins what to play next."""
        stand_ins = Person(self.estate.place.url(OUTSIDE), 0, "")
        answer = stand_ins.ask("POST", f"/stand-in/{what}", {}, told)
        require(
            answer.status_code == 200,
            "the stand-ins take no directions: `make services-stop`, then `make services`",
        )

    @staticmethod
    def _new_bin() -> str:
        return f"{secrets.randbelow(10**12):012d}"
