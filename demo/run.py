"""One run from an empty work directory to an outcome; whatever was started is ended.

What lives here: the putting together and the taking apart. What never does: a step of the story.
"""

import base64
import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import seaweed
from demo.bulk import Bulk, store_entries
from demo.leaks.canaries import Canaries
from demo.leaks.files import search_bytes, search_files
from demo.leaks.needles import Needle, all_needles
from demo.leaks.processes import ProcessSampler
from demo.load.client import Client
from demo.load.crew import Crew, CrewPlaces, plan_services
from demo.load.ledger import LedgerReader
from demo.load.values import Values
from demo.looking import Looking
from demo.opening import opening
from demo.place import ARCHIVE, BUCKET, ROOT, Place, S3Target, prepare, write_private, write_site
from demo.proof.reader import Reader
from demo.proof.world import originals
from demo.report.outcome import LeakReport, Outcome
from demo.report.page import page
from demo.sabotage import Sabotage
from demo.screen import Screen
from demo.story import Story, final_store
from demo.tool import Tool, ToolError
from demo.witness import testify

BAO = ROOT / ".servers" / "openbao-2.6.2" / "bin" / "bao"
BIN = ROOT / ".venv" / "bin"
_B2_REGION = "us-west-004"


class LeakingReportError(Exception):
    """The report itself would carry a secret."""


class MissingProgramError(Exception):
    """A program that the demo needs is not installed."""


@dataclass(frozen=True)
class Options:
    """What the command line said. ``dwell_seconds``: load between two steps."""

    work: Path
    b2: bool = False
    entries: int = 0
    dwell_seconds: float = 5.0
    pace_ms: float = 60.0
    until: str = ""
    sabotage: str = ""
    seed: str = ""
    reports: Path = ROOT


@dataclass
class Run:
    """A run under way; ``outcome`` is filled as it goes."""

    options: Options
    screen: Screen
    place: Place
    expected: dict[str, Any] = field(repr=False)
    outcome: Outcome

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
        sampler = ProcessSampler([*self.needles(), *canaries.needles])
        sampler.start()
        stack.callback(sampler.stop)
        canaries.plant_files()
        canaries.plant_process()
        stack.callback(canaries.remove)
        self.screen.step("preparations")
        s3 = stack.enter_context(self._s3())
        self.outcome.s3 = s3.name
        write_site(self.place, s3, BIN / "caddy")
        self.screen.say(f"S3: {s3.name}")
        self.screen.say(f"front door: {self.place.door_url} and {self.place.door_tls_url}")
        story = self._story(stack, s3)
        stack.callback(self._take_down_quietly, story.tool)
        stack.callback(story.crew.kill)
        self.outcome.operations = story.looking.operations
        self.outcome.replayed = story.looking.world.replayed
        try:
            story.tell(self.options.until)
            self._prove_the_end(story)
        finally:
            story.looking.take_in()
            self.outcome.unfinished = story.looking.ledger.unfinished()
        self._take_down(story.tool)
        canaries.remove()
        sampler.stop()
        self._search(canaries, sampler)

    def _story(self, stack: ExitStack, s3: S3Target) -> Story:
        place = self.place
        key = secrets.token_bytes(32)
        values = Values(key)
        tool = Tool(place.site_file, place.work, self.screen.tool)
        client = Client(place.address_file, place.ca_file)
        stack.callback(client.close)
        looking = Looking(
            originals(self.expected, values, 6),
            LedgerReader(place.ledger),
            client,
            self.expected["root_token"],
            sorted(self.expected["approle"]),
        )
        looking.world.tools = {"canary"}
        crew = Crew(
            CrewPlaces(
                place.ledger,
                place.private,
                place.work / "orders",
                place.address_file,
                place.ca_file,
            )
        )

        def start_crew() -> None:
            opening(place, self.expected, client, values).run()
            looking.take_in()
            for name, about in looking.reader.settings().items():
                looking.world.settings.setdefault(name, about)
            crew.start(
                plan_services(self.expected, looking.world.secrets),
                shared=_shared(looking),
                values_key=key,
                pace_ms=self.options.pace_ms,
                seed=self.options.seed or secrets.token_hex(4),
            )

        def enlarge() -> None:
            missing = self.options.entries - store_entries(place.vault / "data")
            if missing > 0:
                looking.bulk = Bulk(values, self.expected["root_token"], missing // 2)
                self.screen.say(f"writing {missing // 2:,} more secrets")
                looking.bulk.fill(place.server_url(7))
            self.outcome.entries = store_entries(place.vault / "data")

        sabotage = Sabotage(self.options.sabotage, place, s3)
        story = Story(
            place,
            self.expected,
            tool,
            self.screen,
            crew,
            looking,
            self.outcome,
            start_crew,
            self.options.dwell_seconds,
        )
        story.between = {"stage7": enlarge}
        if self.options.sabotage:
            story.between["kill9"] = lambda: self.screen.bad(f"sabotage: {sabotage.commit()}")
        return story

    def _prove_the_end(self, story: Story) -> None:
        """Without the server: every entry decrypts, the counts agree, OpenBao finds the same."""
        with story._step("end", "the end, without zvault") as step:
            store = final_store(story.tool, self.place.site)
            resting = story.looking.all_at_rest(story.looking.reader)
            step.verdict = resting
            wanted = _offline_counts(story.looking, story.looking.reader)
            wanted["policies"] += story.hidden_policies
            story.tool("stage", "down")
            told = story.tool(
                "store", "verify", f"file:{store}", "--shares-file", self.place.shares_file
            )
            found = {name: told[name] for name in wanted}
            if not told["ok"] or found != wanted:
                self.outcome.broken.append(f"offline verify counts {found}, not {wanted}")
            self.outcome.offline = {"entries": told["entries"], **found}
            self.screen.good(f"offline: all {told['entries']:,} entries decrypt, counts agree")
            testimony = testify(BAO, store, self.place.witness, self.expected, story.looking)
            self.outcome.witness = testimony.report
            step.verdict = testimony.verdict
            self.screen.good(f"OpenBao {testimony.report.version} opened a copy of the final store")

    def _search(self, canaries: Canaries, sampler: ProcessSampler) -> None:
        """Look for every secret in everything that is left behind."""
        needles = [*self.needles(), *canaries.needles]
        inputs = self.place.inputs()
        found = search_files(self.place.work, needles, inputs)
        leaks = [*found.leaks, *sampler.leaks]
        self.outcome.leaks = LeakReport(
            found.files,
            found.archive_members,
            round(found.bytes_searched / 1e6, 1),
            sampler.processes,
            sampler.rounds,
            len({needle.of for needle in needles}) - 1,
            tuple(str(path.relative_to(self.place.work)) for path in inputs),
            tuple(str(leak) for leak in leaks if leak.of != "canary"),
            found.wide_inputs,
            tuple(canaries.missing(leaks)),
        )
        if self.outcome.leaks.clean:
            self.screen.good(
                f"no secret in {found.files:,} files, {found.archive_members} packed ones and "
                f"{sampler.processes} processes; the planted canaries were found"
            )

    def needles(self) -> list[Needle]:
        """Every share, the root token, the password and the secret_ids known so far."""
        expected = self.expected
        known = [
            (f"share {n}", base64.b64decode(share)) for n, share in enumerate(expected["shares"], 1)
        ]
        known.append(("root token", expected["root_token"].encode()))
        known.append(("password", self.place.password_file.read_bytes()))
        for role, ids in expected["approle"].items():
            known.append((f"secret_id of {role}", ids["secret_id"].encode()))
        _, canary = self.place.canary_ids
        if canary.exists():
            known.append(("secret_id of the canary", canary.read_bytes()))
        issued = self.place.private / "issued-secret-ids"
        if issued.exists():
            known += [
                (f"issued secret_id {n}", line.encode())
                for n, line in enumerate(issued.read_text().split(), 1)
            ]
        return all_needles(known)

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
        server = seaweed.start(BIN / "weed", self.place.work / "s3")
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

    def _take_down_quietly(self, tool: Tool) -> None:
        """The same after a failure, which is what must be told."""
        for command in (("stage", "down"), ("frontdoor", "stop")):
            with suppress(ToolError):
                tool(*command)


def start_run(options: Options, screen: Screen) -> Run:
    """A fresh work directory. Raises MissingProgramError."""
    for program in (BIN / "zvault", BIN / "caddy", BIN / "weed", BAO):
        if not program.exists():
            raise MissingProgramError(f"{program} is missing: run `make servers`")
    place, expected = prepare(options.work)
    about = expected["seal_status"]
    outcome = Outcome(
        store=f"a store of HashiCorp Vault {about['version']} ({ARCHIVE})",
        entries=store_entries(place.vault / "data"),
        s3="",
        stall_limit_ms=None if options.entries else 5_000,
    )
    return Run(options, screen, place, expected, outcome)


def _shared(looking: Looking) -> dict[str, dict[str, Any]]:
    """What services read of each other: the newest version of each shared secret."""
    return {
        path: newest.data
        for path, secret in looking.world.secrets.items()
        if path.startswith("shared/")
        and (newest := secret.latest()) is not None
        and newest.readable
        and newest.data is not None
    }


def _offline_counts(looking: Looking, reader: Reader) -> dict[str, int]:
    """What an offline reader must count; a destroyed version has no entry any more."""
    world = looking.world
    tools = [reader.secret(path) for path in reader.secret_paths("canary/")]
    bulk = looking.bulk.count if looking.bulk else 0
    written = [secret for secret in world.secrets.values() if secret.current]
    return {
        "secrets_kv1": len(world.legacy),
        "secrets_kv2": len(written) + len(tools) + bulk,
        "versions": sum(not v.destroyed for s in written for v in s.versions.values())
        + sum(len(secret.data) for secret in tools)
        + bulk,
        "policies": len(world.policies),
        "roles": len(reader.roles()),
        "secret_ids": sum(map(len, world.secret_ids.values())),
        "tokens": len(reader.accessors()),
    }


def write_report(run: Run) -> list[Path]:
    """demo-report.json and demo-report.html; they are searched for secrets like the rest."""
    folder, outcome = run.options.reports, run.outcome
    files = [folder / "demo-report.json", folder / "demo-report.html"]
    texts = _report_texts(outcome)
    needles = run.needles()
    leaks = [
        str(leak)
        for path, text in zip(files, texts, strict=True)
        for leak in search_bytes(text.encode(), needles, path.name)
    ]
    if leaks:
        raise LeakingReportError(f"the report is not written: {leaks[0]}")
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)
    return files


def _report_texts(outcome: Outcome) -> list[str]:
    return [json.dumps(outcome.to_json(), indent=2, ensure_ascii=False) + "\n", page(outcome)]


def end_on_signal() -> None:
    """Ctrl-C and SIGTERM become an exception, so that everything started is ended."""

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, stop)
