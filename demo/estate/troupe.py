"""The services of one run: started on the demo's Vault, asked all the time, proven after each step.

What lives here: start, proof, end. What never does: a step of the migration.
Invariant: a proof counts from after the step, so what it sees happened on the Vault as it is now;
and it was the same processes all along.
"""

import contextlib
import json
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import requests

from demo.estate.__main__ import ENDED_WELL
from demo.estate.keeper import DemoKeeper, keeper_at, role_of
from demo.leaks.needles import Needle, all_needles
from demo.load.control import Orders, write_orders
from demo.load.ledger import LedgerReader
from demo.looking import Looking
from demo.place import ESTATE, Place, write_private
from demo.report.programs import Counts, Programs, Proof
from demo.story import PromiseBrokenError
from launcher.estate import Estate
from launcher.place import ROOT, place_at
from launcher.roster import SERVICES, first_values
from launcher.smoke.expected import LOTS
from launcher.smoke.grounds import signed
from launcher.smoke.metrics import scrape
from launcher.smoke.person import Person, invite
from launcher.tool import wait_until
from zakupai_common.web.settings import REFRESH
from zakupai_gateway.gateway import TABLE
from zvault.base.process import ProcessIdentity

ERRANDS = "errands"
REREAD_SECONDS = 2
PACE_MS = 250.0
WITH_KEY = ("calc", "risk-engine")
_PROOF_SECONDS = 90.0
"""Three times what a renewal and a login need."""
_BEGIN_SECONDS, _END_SECONDS = 180.0, 60.0


@dataclass
class Troupe:
    """The estate below the demo's work directory, and who asks."""

    place: Place
    estate: Estate
    keeper: DemoKeeper
    looking: Looking
    programs: Programs
    say: Callable[[str], None]
    person: Person | None = None
    _processes: dict[str, ProcessIdentity | None] = field(default_factory=dict)
    _ledger: LedgerReader | None = None

    def prepare(self) -> None:
        """Roles, ids and secrets; before the load begins, so that it knows what is not its own."""
        self.keeper.up()
        self.keeper.seed(first_values(self.estate.services))
        self.keeper.give_ids()

    def start(self) -> None:
        """PostgreSQL, Redis, stand-ins, services; then somebody asks. Raises LauncherError."""
        self.estate.up()
        self._processes = self._running()
        self.person = invite(self.estate, "risk:write", "etl:write", "billing:admin")
        self.person.make_key()
        self.person.buy_premium()
        self._start_errands(self.person)

    def prove(self, step: str, *, login: bool) -> None:
        """Wait until each service re-read, renewed and, with ``login``, logged in again.

        Raises PromiseBrokenError naming the service and what it did not do.
        """
        stamps = self._stamp()
        before = self._counts()
        if silent := [one for one in self.programs.services if one not in before]:
            raise PromiseBrokenError(f"{', '.join(silent)} does not tell its metrics")
        self.programs.whole |= before
        done: dict[str, Counts] = {}

        def proven() -> bool:
            self._still_running()
            done.update({name: now.since(before[name]) for name, now in self._counts().items()})
            return not self._open(done, stamps, login=login)

        try:
            wait_until(proven, _PROOF_SECONDS, "the services")
        except TimeoutError:
            raise PromiseBrokenError(
                f"after step {step}: {'; '.join(self._open(done, stamps, login=login))}"
            ) from None
        finally:
            self.programs.proofs += [
                Proof(step, name, counts, login) for name, counts in done.items()
            ]

    def stop(self) -> None:
        """The last requests are answered; every token ends; nothing runs any more."""
        self.programs.whole = self._counts()
        self._still_running()
        write_orders(self._orders, Orders(epoch=1, stop=True))
        wait_until(
            lambda: self.estate.programs.running(ERRANDS) is None, _END_SECONDS, "the last requests"
        )
        self.take_in()
        told = self.estate.programs.last_words(ERRANDS)
        if told != ENDED_WELL:
            raise PromiseBrokenError(f"who asked the services broke: {told}")
        self.estate.down()
        wait_until(lambda: not self._own_tokens(), _END_SECONDS, "the end of the services' tokens")

    def take_in(self) -> None:
        """The requests that were answered so far."""
        if self._ledger is None:
            return
        self.programs.requests += self._ledger.new_operations()
        self.programs.unfinished = self._ledger.unfinished()

    def needles(self) -> list[Needle]:
        """Every secret of the services, and what belongs to who asks."""
        texts = list(self.keeper.hidden)
        if self.estate.postgres.password_file.exists():
            administrator = self.estate.postgres.password_file.read_text()
            texts.append(("password of PostgreSQL's administrator", administrator))
        if self.person is not None:
            texts.append(("password of who asks", self.person.password))
            texts += [("its API key", text) for text in self.person.key.values()]
            texts.append(("its refresh token", self.person.refresh_token))
        return all_needles((name, _longest_line(text).encode()) for name, text in texts)

    # Small parts.

    def _start_errands(self, person: Person) -> None:
        folder = self.place.work / ERRANDS
        folder.mkdir(mode=0o700)
        lot = secrets.randbelow(2**61) + 1
        person.keep_lot(lot, LOTS[0])
        person.get("POST", "/api/risk-engine/risk/score", person.bearer, {"lot_id": lot})
        write_orders(self._orders, Orders())
        names = [f"{one.name}.jwt" for one in self.estate.services]
        names += [f"{one.name}.key" for one in self.estate.services if one.name in WITH_KEY]
        config = {
            "gateway": person.gateway,
            "tg_id": person.tg_id,
            "email": person.email,
            "password": person.password,
            "api_key": person.key["X-API-Key"],
            "lot": lot,
            "lanes": names,
            "ledger_dir": str(folder),
            "orders_file": str(self._orders),
            "pace_ms": PACE_MS,
        }
        file = self.place.private / "errands.json"
        write_private(file, json.dumps(config).encode())
        python: list[str | Path] = [sys.executable, "-m", "demo.estate", file]
        self.estate.programs.start(ERRANDS, python, {"PYTHONPATH": str(ROOT)})
        self._ledger = LedgerReader(folder)

        def all_ask() -> bool:
            self.take_in()
            return {one.lane for one in self.programs.requests} == set(names)

        self.estate.programs.wait(ERRANDS, all_ask, _BEGIN_SECONDS)

    @property
    def _orders(self) -> Path:
        return self.place.work / ERRANDS / "orders"

    def _stamp(self) -> dict[str, str]:
        """A new second identity key for each service that has one: only a re-reading knows it."""
        stamps = {}
        for service in self.estate.services:
            if service.guard is None:
                path = service.identity_key.path
                stamps[service.name] = secrets.token_urlsafe(32)
                kept = self.keeper.read(path)
                self.keeper.write(path, {**kept, "also": stamps[service.name]})
        return stamps

    def _open(self, done: dict[str, Counts], stamps: dict[str, str], *, login: bool) -> list[str]:
        """What is not proven yet, in words."""
        found = [
            f"{name}: {words}"
            for name in self.programs.services
            for words in done.get(name, Counts()).missing(login=login)
        ]
        for name, key in stamps.items():
            try:
                answer = signed(self.estate, self.estate.service(name), "/info", key)
            except requests.RequestException:
                found.append(f"{name}: it does not answer")
                continue
            if answer.status_code != 200:
                found.append(f"{name}: what was just written into Vault is not in use")
            elif trouble := answer.json()["vault"]["trouble"]:
                found.append(f"{name}: its trouble with Vault is {trouble}")
        return found

    def _counts(self) -> dict[str, Counts]:
        """By service; one that does not answer now is not in it."""
        found = {}
        for name in self.programs.services:
            with contextlib.suppress(requests.RequestException):
                found[name] = self._counts_of(name)
        return found

    def _counts_of(self, name: str) -> Counts:
        found = scrape(f"{self.estate.place.url(name)}/metrics")
        told = [
            found.one(f"zakupai_secrets_{what}", service=name) or 0.0
            for what in ("logins_total", "renewals_total", "refreshes_total", "fresh")
        ]
        logins, renewals, rereads, fresh = told
        return Counts(int(logins), int(renewals), int(rereads), fresh == 1)

    def _running(self) -> dict[str, ProcessIdentity | None]:
        return {one.name: self.estate.programs.running(one.name) for one in self.estate.services}

    def _still_running(self) -> None:
        running = self._running().items()
        gone = [name for name, now in running if now is None or now != self._processes[name]]
        if gone:
            raise PromiseBrokenError(f"{', '.join(gone)} did not stay the process it was")
        if self.estate.programs.running(ERRANDS) is None:
            told = self.estate.programs.last_words(ERRANDS)
            raise PromiseBrokenError(f"nobody asks the services any more: {told}")

    def _own_tokens(self) -> list[str]:
        reader, world = self.looking.reader, self.looking.world
        roles = {role_of(one.name) for one in self.estate.services}
        found = []
        for accessor in reader.accessors() - set(world.tokens):
            about: dict[str, Any] = reader.token(accessor) or {}
            if (about.get("meta") or {}).get("role_name") in roles:
                found.append(accessor)
        return found


def troupe_at(place: Place, looking: Looking, say: Callable[[str], None], root: str) -> Troupe:
    """All parts of it; nothing is started yet."""
    work = place.work / ESTATE
    estate_place = place_at(work, [one.name for one in SERVICES])
    keeper = keeper_at(place, estate_place, SERVICES, looking, root)
    table = work / "gateway.toml"
    table.write_text(_generous(files("zakupai_gateway").joinpath("table.toml").read_text()))
    settings = {REFRESH: str(REREAD_SECONDS), TABLE: str(table)}
    estate = Estate(estate_place, SERVICES, say, keeper, settings)
    programs = Programs(tuple(one.name for one in SERVICES))
    return Troupe(place, estate, keeper, looking, programs, say)


def _generous(table: str) -> str:
    """The gateway's own table, but nobody is limited: a 429 would be a failed request."""
    return re.sub(r"requests = [0-9_]+", "requests = 1000000", table)


def _longest_line(text: str) -> str:
    """Of a PEM key, which is spelled with other line ends in JSON."""
    return max(text.splitlines() or [""], key=len)
