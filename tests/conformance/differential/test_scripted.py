"""Scripted requests to the engine and to OpenBao: the same answers, but for what is accepted."""

import time
from collections.abc import Iterator

import pytest

from tests.conformance.differential.accepted import MOST, RIGHTS, Accepted
from tests.conformance.differential.script import AREAS, MOUNT, call, recorded
from tests.conformance.differential.sides import Answer, Call, Pair, fresh_pair, shown

pytestmark = [pytest.mark.real("openbao-2.6.2"), pytest.mark.timeout(600)]
SHAPES = 500
SLOW_THERE = ("sys/remount", "sys/mounts/kv2", "sys/unseal")
SETTLE_SECONDS = 20.0


@pytest.fixture(scope="module")
def accepted() -> Accepted:
    return Accepted.read()


def settle(pair: Pair, one: Call, theirs: Answer) -> None:
    """OpenBao upgrades a new KV 2, moves a mount and starts after unsealing behind its answers."""
    deadline = time.monotonic() + SETTLE_SECONDS
    if one.path == "sys/mounts/kv2":
        while pair.theirs.ask("GET", "kv2/config", token=pair.theirs.known["root"])[0] == 400:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    if one.path == "sys/unseal" and theirs[0] == 200 and theirs[1].get("sealed") is False:
        while pair.theirs.ask("GET", "sys/health")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    if one.path == "sys/remount" and theirs[0] == 200:
        time.sleep(1)


def compared(pair: Pair, accepted: Accepted, one: Call) -> str:
    """What differs and is not accepted; nothing when all is well."""
    ours, theirs = pair.ask(one)
    if one.path in SLOW_THERE:
        settle(pair, one, theirs)
    return "" if accepted.allows(one, ours, theirs) else shown(one, ours, theirs)


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory, accepted: Accepted
) -> Iterator[tuple[Pair, dict[str, list[str]]]]:
    """Everything asked once; differences by area."""
    with fresh_pair(tmp_path_factory.mktemp("scripted")) as pair:
        pair.set_up(
            call("POST", f"{MOUNT}/kv1", {"type": "kv"}),
            call("POST", f"{MOUNT}/kv2", {"type": "kv-v2"}),
            call("POST", "sys/auth/approle", {"type": "approle"}),
        )
        settle(pair, call("POST", f"{MOUNT}/kv2"), (204, None))
        found = {
            area: [text for one in calls if (text := compared(pair, accepted, one))]
            for area, calls in AREAS.items()
        }
        yield pair, found


@pytest.mark.parametrize("area", AREAS)
def test_the_same_request_has_the_same_answer(
    asked: tuple[Pair, dict[str, list[str]]], area: str
) -> None:
    differences = asked[1][area]
    assert not differences, f"{len(differences)} of {area}:\n" + "\n".join(differences)


@pytest.fixture(scope="module")
def replayed(
    tmp_path_factory: pytest.TempPathFactory,
    accepted: Accepted,
    asked: tuple[Pair, dict[str, list[str]]],
) -> list[str]:
    """Differences of what a real Vault was once asked, on two new servers.

    Where Vault's own answer is known, OpenBao's does not matter (``tests/museum`` compares ours).
    """
    differences = []
    with fresh_pair(tmp_path_factory.mktemp("replayed"), is_open=False) as pair:
        for one, step in recorded():
            if step["area"] != "before-init" and "root" not in pair.ours.known:
                pair.ours.open()
                pair.theirs.open()
            ours, theirs = pair.ask(one)
            if one.path in SLOW_THERE:
                settle(pair, one, theirs)
            if "status" not in step and not accepted.allows(one, ours, theirs):
                differences.append(shown(one, ours, theirs))
    asked[0].shapes.update(pair.shapes)
    return differences


def test_what_a_real_vault_was_asked_has_the_same_answer(replayed: list[str]) -> None:
    assert not replayed, "\n".join(replayed)


def test_the_script_is_long_enough(asked: tuple[Pair, dict[str, list[str]]]) -> None:
    assert len(asked[0].shapes) >= SHAPES


def test_every_accepted_difference_is_needed_and_has_a_reason(
    asked: tuple[Pair, dict[str, list[str]]], replayed: list[str], accepted: Accepted
) -> None:
    assert len(accepted.rules) <= MOST
    assert all(len(rule["reason"]) > 20 for rule in accepted.rules)
    assert not accepted.unused, accepted.unused


def test_no_accepted_difference_is_about_rights(accepted: Accepted) -> None:
    for rule in accepted.rules:
        assert not RIGHTS & set(rule.get("fields", [])), rule["name"]
        for ours, theirs in rule.get("statuses", []):
            assert 403 not in (ours, theirs), rule["name"]
