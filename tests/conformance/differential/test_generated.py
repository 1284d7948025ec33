"""Generated requests to the engine and to OpenBao: the same answers, but for what is accepted.

In CI the requests are always the same ones; ``make soak`` asks many more, from three other seeds.
"""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.differential.accepted import Accepted
from tests.conformance.differential.endpoints import calls
from tests.conformance.differential.script import CREATE, MOUNT, call
from tests.conformance.differential.sides import BROKE_OFF, Call, Pair, fresh_pair, shown

pytestmark = [pytest.mark.real("openbao-2.6.2"), pytest.mark.timeout(1800)]
LIMITED = """
path "kv1/a" { capabilities = ["read", "update"] }
path "kv2/data/*" { capabilities = ["create", "read", "patch"] }
path "kv2/metadata/*" { capabilities = ["list"] }
path "auth/token/create" { capabilities = ["update"] }
path "auth/approle/role/+" { capabilities = ["read", "create"] }
path "transit/encrypt/a" { capabilities = ["update"] allowed_parameters = { "plaintext" = [] } }
path "sys/mounts/ga" { capabilities = ["read", "sudo"] }
"""
UNLOCKED = {"user_lockout_config": {"lockout_disable": True}}
"""Guesses lock names for a while; the scripted requests compare that."""
CI_SEED, SOAK_SEEDS = 20_261_122, (1, 2, 3)
BATCH = 25


def prepared(pair: Pair) -> None:
    """Mounts, and a token with some rights."""
    pair.set_up(
        call("POST", f"{MOUNT}/kv1", {"type": "kv"}),
        call("POST", f"{MOUNT}/kv2", {"type": "kv-v2"}),
        call("POST", f"{MOUNT}/transit", {"type": "transit"}),
        call("POST", "sys/auth/approle", {"type": "approle"}),
        call("POST", "sys/auth/up", {"type": "userpass"}),
        *[call("POST", f"sys/auth/{name}/tune", UNLOCKED) for name in ("approle", "up")],
        call("PUT", "sys/policies/acl/narrow", {"policy": 'path "kv1/*" { policy = "read" }'}),
        call("PUT", "sys/policies/acl/limited", {"policy": LIMITED}),
        call("POST", CREATE, {"policies": ["limited"]}, limited="auth.client_token"),
    )
    deadline = time.monotonic() + 20
    while pair.theirs.ask("GET", "kv2/config", token=pair.theirs.known["root"])[0] == 400:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def differences(root: Path, examples: int, number: int) -> tuple[list[str], Pair]:
    """Ask both; every difference that is not accepted."""
    accepted, found = Accepted.read(), []
    with fresh_pair(root) as pair:
        prepared(pair)

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # what the servers hold is part of the example: no shrinking
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(calls(), min_size=BATCH, max_size=BATCH))
        def ask(batch: list[Call]) -> None:
            for one in batch:
                ours, theirs = pair.ask(one)
                if theirs[0] == BROKE_OFF and ours[0] < 500:
                    continue  # no answer to compare with
                if not accepted.allows(one, ours, theirs):
                    found.append(shown(one, ours, theirs))

        ask()
    return found, pair


def test_generated_requests_have_the_same_answers(tmp_path: Path) -> None:
    found, pair = differences(tmp_path, 80, CI_SEED)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)
    assert len(pair.shapes) >= 300


@pytest.mark.soak
@pytest.mark.parametrize("number", SOAK_SEEDS)
def test_many_more_generated_requests_have_the_same_answers(tmp_path: Path, number: int) -> None:
    found, _ = differences(tmp_path, 300, number)
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)
