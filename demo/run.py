"""One run from an empty work directory to an outcome; whatever was started is ended.

What lives here: the putting together and the taking apart. What never does: a step of the story.
"""

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import seaweed
from demo.bulk import store_entries
from demo.casting import cast
from demo.ending import prove_the_end, search_for_leaks, secret_needles
from demo.leaks.canaries import Canaries
from demo.leaks.needles import Needle
from demo.leaks.processes import ProcessSampler
from demo.leaks.search import Search
from demo.leftovers import S3_PROCESS, end_estate, end_leftovers, end_site, note_process
from demo.load.client import Client
from demo.options import Options
from demo.place import (
    ARCHIVE,
    BUCKET,
    ESTATE,
    ROOT,
    Place,
    S3Target,
    prepare,
    write_private,
    write_site,
)
from demo.report.outcome import STALL_LIMIT_MS, Outcome
from demo.report.page import page
from demo.screen import Screen
from demo.story import Story
from launcher.tool import Tool

BAO = ROOT / ".servers" / "openbao-2.6.2" / "bin" / "bao"
BIN = ROOT / ".venv" / "bin"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_B2_REGION = "us-west-004"


class LeakingReportError(Exception):
    """The report itself would carry a secret."""


class MissingProgramError(Exception):
    """A program that the demo needs is not installed."""


@dataclass
class Run:
    """A run under way; ``outcome`` is filled as it goes."""

    options: Options
    screen: Screen
    place: Place
    expected: dict[str, Any] = field(repr=False)
    outcome: Outcome
    take_in: Callable[[], None] = lambda: None
    """Brings the figures of the services up to date."""
    more_needles: Callable[[], list[Needle]] = list

    def go(self) -> None:
        """Everything. Errors become broken promises; nothing that was started stays."""
        with ExitStack() as stack:
            try:
                self._go(stack)
            except Exception as problem:
                self.outcome.broken.append(f"{type(problem).__name__}: {problem}")
                if os.environ.get("ZVAULT_DEBUG"):
                    raise

    def _go(self, stack: ExitStack) -> None:
        canaries = Canaries(self.place.work / "canaries")
        sampler = ProcessSampler()
        sampler.start()
        stack.callback(sampler.stop)
        stack.callback(canaries.remove)
        canaries.plant_files()
        canaries.plant_process()
        self.screen.step("preparations")
        s3 = stack.enter_context(self._s3())
        self.outcome.s3 = s3.name
        write_site(self.place, s3, BIN / "caddy")
        self.screen.say(f"S3: {s3.name}")
        self.screen.say(f"front door: {self.place.door_url} and {self.place.door_tls_url}")
        client = Client(self.place.address_file, self.place.ca_file)
        stack.callback(client.close)
        story = cast(self.options, self.screen, self.place, self.expected, self.outcome, s3, client)
        stack.callback(end_site, story.tool)
        stack.callback(story.crew.kill)
        if self.options.services:
            self._add_services(story, stack)
        self.outcome.operations = story.looking.operations
        self.outcome.replayed = story.looking.world.replayed
        try:
            story.tell(self.options.until)
            prove_the_end(story, BAO)
        finally:
            self.take_in()
            story.looking.take_in()
            self.outcome.unfinished = story.looking.ledger.unfinished()
        self._take_down(story.tool)
        canaries.remove()
        sampler.stop()
        leaks = search_for_leaks(self.place, self.needles(), canaries, sampler)
        self.outcome.leaks = leaks
        if leaks.clean:
            self.screen.good(
                f"no secret in {leaks.files:,} files, {leaks.archive_members:,} packed ones and "
                f"{leaks.processes:,} processes; the planted canaries were found"
            )

    def _add_services(self, story: Story, stack: ExitStack) -> None:
        # Only here: without them the demo needs none of their packages.
        from demo.estate.part import add_services
        from demo.estate.troupe import troupe_at

        root = str(self.expected["root_token"])
        troupe = troupe_at(self.place, story.looking, self.screen.say, root)
        stack.callback(end_estate, self.place.work / ESTATE)
        add_services(story, troupe, self.options.sabotage)
        self.take_in, self.more_needles = troupe.take_in, troupe.needles

    def needles(self) -> list[Needle]:
        """Every secret that is looked for where none may be."""
        return [*secret_needles(self.place, self.expected), *self.more_needles()]

    @contextmanager
    def _s3(self) -> Iterator[S3Target]:
        if self.options.b2:
            key_id, key = os.environ["B2_APPLICATION_KEY_ID"], os.environ["B2_APPLICATION_KEY"]
            region = os.environ.get("B2_REGION", _B2_REGION)
            self._write_credentials(key_id, key)
            yield S3Target(
                f"Backblaze B2 ({region})",
                os.environ.get("B2_ENDPOINT", f"https://s3.{region}.backblazeb2.com"),
                region,
                "b2",
                os.environ.get("B2_BUCKET", BUCKET),
                f"demo-{secrets.token_hex(4)}",
                False,
            )
            return
        noted = self.place.work / S3_PROCESS
        server = seaweed.start(
            BIN / "weed", self.place.work / "s3", lambda pid: note_process(noted, pid)
        )
        try:
            server.create_bucket(BUCKET)
            self._write_credentials(server.access_key_id, server.secret_access_key)
            yield S3Target(
                f"SeaweedFS at {server.endpoint}",
                server.endpoint,
                server.region,
                "seaweedfs",
                BUCKET,
                "vault",
                True,
            )
        finally:
            server.stop()

    def _write_credentials(self, key_id: str, key: str) -> None:
        text = f"AWS_ACCESS_KEY_ID={key_id}\nAWS_SECRET_ACCESS_KEY={key}\n"
        write_private(self.place.s3_credentials, text.encode())

    def _take_down(self, tool: Tool) -> None:
        """Server, agent and front door; not running is fine, not ending is an error."""
        for command in (("stage", "down"), ("frontdoor", "stop")):
            tool(*command)


def start_run(options: Options, screen: Screen) -> Run:
    """A fresh work directory. Raises MissingProgramError."""
    for program in (BIN / "zvault", BIN / "caddy", BIN / "weed", BAO):
        if not program.exists():
            raise MissingProgramError(f"{program} is missing: run `make servers`")
    end_leftovers(options.work)
    place, expected = prepare(options.work)
    about = expected["seal_status"]
    outcome = Outcome(
        store=f"a store of HashiCorp Vault {about['version']} ({ARCHIVE})",
        entries=store_entries(place.vault / "data"),
        s3="",
        stall_limit_ms=None if options.entries else STALL_LIMIT_MS,
    )
    return Run(options, screen, place, expected, outcome)


def write_report(run: Run) -> list[Path]:
    """demo-report.json and demo-report.html; they are searched for secrets like the rest."""
    folder, outcome = run.options.reports, run.outcome
    files = [folder / "demo-report.json", folder / "demo-report.html"]
    texts = _report_texts(outcome)
    search = Search(run.needles())
    leaks = [
        str(leak)
        for path, text in zip(files, texts, strict=True)
        for leak in search.inside(text.encode(), path.name)
    ]
    if leaks:
        raise LeakingReportError(f"the report is not written: {leaks[0]}")
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)
    return files


def _report_texts(outcome: Outcome) -> list[str]:
    return [json.dumps(outcome.to_json(), indent=2, ensure_ascii=False) + "\n", page(outcome)]


def end_on_signal() -> None:
    """Ctrl-C, SIGTERM and the terminal's end become an exception, so everything started is ended.

    Once: what ends the rest must not be stopped half-way by a second one.
    """

    def stop(number: int, _: object) -> None:
        for one in _ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for one in _ENDING:
        signal.signal(one, stop)
