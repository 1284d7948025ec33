"""Puts a story together out of its parts.

What lives here: who gets what. What never does: a step of the story, a process (but for the crew,
when the story says so).
"""

import secrets
from typing import Any

from demo.bulk import Bulk, store_entries
from demo.load.client import Client
from demo.load.crew import Crew, CrewPlaces
from demo.load.ledger import LedgerReader
from demo.load.plan import plan_services
from demo.load.values import Values
from demo.looking import Looking
from demo.opening import opening
from demo.options import Options
from demo.place import CANARY_ROLE, MUSEUM_MAX_VERSIONS, Place, S3Target
from demo.proof.world import originals
from demo.report.outcome import Outcome
from demo.sabotage import STORE_KINDS, Sabotage
from demo.screen import Screen
from demo.story import Story
from launcher.tool import Tool


def cast(
    options: Options,
    screen: Screen,
    place: Place,
    expected: dict[str, Any],
    outcome: Outcome,
    s3: S3Target,
    client: Client,
) -> Story:
    """The story of one run; nothing is started yet."""
    values = Values(secrets.token_bytes(32))
    looking = Looking(
        originals(expected, values, MUSEUM_MAX_VERSIONS),
        LedgerReader(place.ledger),
        client,
        expected["root_token"],
        sorted(expected["approle"]),
    )
    looking.world.tools = {CANARY_ROLE}
    places = CrewPlaces(
        place.ledger, place.private, place.work / "orders", place.address_file, place.ca_file
    )
    story = Story(
        place,
        expected,
        Tool(place.site_file, place.work, screen.tool),
        screen,
        Crew(places),
        looking,
        outcome,
        options.dwell_seconds,
    )
    story.start_crew = lambda: _start_crew(story, options, values)
    story.between = {"stage7": lambda: _enlarge(story, options, values)}
    to_store = tuple(kind for kind in options.sabotage if kind in STORE_KINDS)
    if to_store:
        sabotage = Sabotage(to_store, place, s3)
        story.between["kill9"] = lambda: screen.bad(f"sabotage: {sabotage.commit()}")
    return story


def _start_crew(story: Story, options: Options, values: Values) -> None:
    """The operator's edits, then everybody to work."""
    looking = story.looking
    opening(story.place, story.expected, looking.client, values).run()
    looking.take_in()
    before = dict(looking.world.secrets)  # what others write from here on is no lane's to change
    story.prepare()
    looking.take_in()
    for name, about in looking.reader.settings().items():
        looking.world.settings.setdefault(name, about)
    story.crew.start(
        plan_services(story.expected, before),
        shared=_shared(looking),
        values_key=values.key,
        pace_ms=options.pace_ms,
        seed=options.seed or secrets.token_hex(4),
    )


def _enlarge(story: Story, options: Options, values: Values) -> None:
    """Fill the store up to the wanted number of entries."""
    data = story.place.vault / "data"
    missing = options.entries - store_entries(data)
    if missing > 0:
        bulk = Bulk(values, story.expected["root_token"], missing // 2)
        story.screen.say(f"writing {bulk.count:,} more secrets")
        bulk.fill(story.place.server_url(7))
        story.looking.bulk = bulk
    story.outcome.entries = store_entries(data)


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
