"""The end of a run: proof without a server, OpenBao's testimony, the search for leaked secrets.

What lives here: what is looked at when nothing runs any more. What never does: a step of the story.
"""

import base64
from pathlib import Path
from typing import Any

from demo.leaks.canaries import NAME, Canaries
from demo.leaks.files import search_files
from demo.leaks.needles import Needle, all_needles
from demo.leaks.processes import ProcessSampler
from demo.looking import Looking
from demo.place import CANARY_ROLE, Place
from demo.proof.reader import Reader
from demo.report.outcome import LeakReport
from demo.story import Story, final_store
from demo.witness import testify


def prove_the_end(story: Story, bao: Path) -> None:
    """Every entry decrypts, the counts agree, OpenBao finds the same in a copy."""
    place, outcome, screen = story.place, story.outcome, story.screen
    with story.step("end", "the end, at rest", "end") as step:
        store = final_store(story.tool, place.site)
        step.verdict = story.looking.all_at_rest(story.looking.reader)
        wanted = offline_counts(story.looking, story.looking.reader)
        wanted["policies"] += story.hidden_policies
        story.tool("stage", "down")
        told = story.tool("store", "verify", f"file:{store}", "--shares-file", place.shares_file)
        found = {name: told[name] for name in wanted}
        outcome.offline = {"entries": told["entries"], **found}
        if told["ok"] and found == wanted:
            screen.good(f"offline: all {told['entries']:,} entries decrypt, counts agree")
        else:
            outcome.broken.append(f"offline verify counts {found}, not {wanted}")
    with story.step("openbao", "OpenBao 2.6.2 on a copy of the final store") as step:
        testimony = testify(bao, store, place.witness, story.expected, story.looking)
        outcome.witness = testimony.report
        step.verdict = testimony.verdict
        if testimony.verdict.equal:
            screen.good("opened with the original shares; AppRole, userpass and transit work")


def offline_counts(looking: Looking, reader: Reader) -> dict[str, int]:
    """What an offline reader must count; a destroyed version has no entry any more."""
    world = looking.world
    tools = [reader.secret(path) for path in reader.secret_paths(f"{CANARY_ROLE}/")]
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


def search_for_leaks(
    place: Place, secret: list[Needle], canaries: Canaries, sampler: ProcessSampler
) -> LeakReport:
    """Look for every secret in everything that is left behind, and in what ran meanwhile."""
    needles = [*secret, *canaries.needles]
    inputs = place.inputs()
    found = search_files(place.work, needles, inputs)
    leaks = [*found.leaks, *sampler.leaks(needles)]
    return LeakReport(
        found.files,
        found.archive_members,
        round(found.bytes_searched / 1e6, 1),
        sampler.processes,
        sampler.rounds,
        len({needle.of for needle in needles} - {NAME}),
        tuple(str(path.relative_to(place.work)) for path in inputs),
        tuple(str(leak) for leak in leaks if leak.of != NAME),
        found.wide_inputs,
        tuple(canaries.missing(leaks)),
    )


def secret_needles(place: Place, expected: dict[str, Any]) -> list[Needle]:
    """Every share, the root token, the password and the secret_ids known so far."""
    known = [
        (f"share {n}", base64.b64decode(share)) for n, share in enumerate(expected["shares"], 1)
    ]
    known.append(("root token", expected["root_token"].encode()))
    known.append(("password", place.password_file.read_bytes()))
    for role, ids in expected["approle"].items():
        known.append((f"secret_id of {role}", ids["secret_id"].encode()))
    _, canary = place.canary_ids
    if canary.exists():
        known.append(("secret_id of the canary", canary.read_bytes()))
    issued = place.private / "issued-secret-ids"
    if issued.exists():
        known += [
            (f"issued secret_id {n}", line.encode())
            for n, line in enumerate(issued.read_text().split(), 1)
        ]
    return all_needles(known)
