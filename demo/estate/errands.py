"""What is asked of each service, through the gateway, while Vault moves below it.

What lives here: the errands of one service, each checked on the spot. What never does: a retry; a
question to Vault.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from demo.load.lane import Act
from demo.load.ledger import Ledger
from demo.load.worker import expect
from launcher.smoke.expected import VAT_PERCENT, base_of
from launcher.smoke.person import Headers, Person

REFRESH_SECONDS = 240.0
"""An access token lives ten minutes."""
MOST_WITH_KEY = 200
"""Of one lane: premium allows 500 requests an hour."""


@dataclass
class Errands:
    """One lane at one service. ``lot`` is a lot that risk-engine knows."""

    service: str
    person: Person
    ledger: Ledger
    lot: int
    logged_in_at: float
    with_key: bool = False
    calculation: str = ""
    uploaded: tuple[int, str] = (0, "")
    """Id and amount of the upload that was kept last."""

    def acts(self) -> list[Act]:
        """What this service is asked, how often."""
        own: dict[str, list[Act]] = {
            "calc": [Act(self.vat, 6), Act(self.history, 3, ready=lambda: bool(self.calculation))],
            "risk-engine": [Act(self.score, 4), Act(self.explain, 3)],
            "billing": [Act(self.stats, 4), Act(self.plans, 1)],
            "etl": [Act(self.upload, 4), Act(self.rows, 3, ready=lambda: bool(self.uploaded[0]))],
            "gateway": [Act(self.refresh, 4), Act(self.signing_keys, 1), Act(self.vault_health, 1)],
        }
        acts = own.get(self.service, [])
        if not self.with_key and self.service not in ("gateway", "billing"):
            acts = [*acts, Act(self.info, 2)]  # every other service of the roster has this one
        if self.service != "gateway":
            acts = [*acts, Act(self.refresh, 1000, ready=self._is_old)]
        return acts

    @property
    def headers(self) -> Headers:
        """The API key as long as its plan allows, else the access token."""
        plan_allows = self.with_key and self.ledger.number < MOST_WITH_KEY
        return self.person.key if plan_allows else self.person.bearer

    def vat(self) -> bool:
        amount = Decimal(secrets.randbelow(10**9) + 1) / 100

        def check(told: Any) -> None:
            expect(Decimal(told["base"]), base_of(amount), "the base")
            self.calculation = str(told["calculation_id"])

        body = {"amount": str(amount), "rate_percent": str(VAT_PERCENT)}
        return self._ask("POST", "/api/calc/vat", check, body)

    def history(self) -> bool:
        path = f"/api/calc/history/{self.calculation}"
        return self._ask("GET", path, lambda told: expect(told["kind"], "vat", "the kind"))

    def score(self) -> bool:
        def check(told: Any) -> None:
            expect(told["anti_dumping_violation"], True, "the judgement")

        return self._ask("POST", "/api/risk-engine/risk/score", check, {"lot_id": self.lot})

    def explain(self) -> bool:
        path = f"/api/risk-engine/risk/explain/{self.lot}"
        return self._ask("GET", path, lambda told: expect(told["lot_id"], self.lot, "the lot"))

    def upload(self) -> bool:
        amount = f"{secrets.randbelow(10**9)}.{secrets.randbelow(100):02}"

        def act() -> dict[str, Any]:
            told = self.person.upload(f"bin,amount,status\n123456789012,{amount},NEW\n")
            expect(told["rows_accepted"], 1, "the rows that were taken")
            self.uploaded = int(told["upload_id"]), amount
            return {}

        return self.ledger.run("service", {"path": "/api/etl/upload-batch"}, act)

    def rows(self) -> bool:
        upload, amount = self.uploaded

        def check(told: Any) -> None:
            kept = [Decimal(row["amount"]) for row in told["items"]]
            expect(kept, [Decimal(amount)], "the row")

        return self._ask("GET", f"/api/etl/uploads/{upload}/rows", check)

    def stats(self) -> bool:
        path = f"/api/billing/stats/{self.person.tg_id}"
        return self._ask("GET", path, lambda told: expect(told["plan"], "premium", "the plan"))

    def plans(self) -> bool:
        return self._ask("GET", "/api/billing/plans", lambda told: expect(len(told), 2, "plans"))

    def info(self) -> bool:
        def check(told: Any) -> None:
            expect(told["service"], self.service, "who answers")
            expect(told["vault"]["ready"], True, "its secrets")

        return self._ask("GET", f"/api/{self.service}/info", check)

    def refresh(self) -> bool:
        """Two new tokens, signed with the key in Vault."""

        def act() -> dict[str, Any]:
            self.person.refresh()
            self.logged_in_at = time.monotonic()
            return {}

        return self.ledger.run("service", {"path": "/auth/refresh"}, act)

    def signing_keys(self) -> bool:
        return self._ask("GET", "/.well-known/jwks.json", lambda told: told["keys"][0]["kid"])

    def vault_health(self) -> bool:
        return self._ask("GET", "/vault/health", lambda told: None)

    def _is_old(self) -> bool:
        return time.monotonic() - self.logged_in_at > REFRESH_SECONDS

    def _ask(
        self, method: str, path: str, check: Callable[[Any], object], body: Any = None
    ) -> bool:
        def act() -> dict[str, Any]:
            check(self.person.get(method, path, self.headers, body))
            return {}

        return self.ledger.run("service", {"path": path}, act)
