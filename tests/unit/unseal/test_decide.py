"""The agent's decisions: nothing on purpose is undone, nothing wrong is repeated."""

from dataclasses import replace

import pytest

from zvault.ops.unseal.decide import (
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    STABLE_SECONDS,
    KeyIdentity,
    Memory,
    Observation,
    Restart,
    SubmitRound,
    Wait,
    after_look,
    after_refusal,
    after_restart,
    after_round,
    decide,
)
from zvault.vaultapi.answers import SealStatus

KEY = KeyIdentity("key")
SEALED = SealStatus(True, True, 3, 5, 0)
UNSEALED = replace(SEALED, sealed=False)
SEEN = Observation(100.0, "running", True, SEALED, KEY)


def wait_of(seen: Observation, memory: Memory | None = None) -> Wait:
    action = decide(seen, memory or Memory())
    assert isinstance(action, Wait)
    return action


def test_a_sealed_server_gets_a_round_of_shares_up_to_its_own_threshold() -> None:
    assert decide(SEEN, Memory()) == SubmitRound(reset_first=False, threshold=3)


def test_stale_progress_is_reset_first() -> None:
    seen = replace(SEEN, status=replace(SEALED, progress=2))
    assert decide(seen, Memory()) == SubmitRound(reset_first=True, threshold=3)


def test_a_dead_server_that_should_run_is_restarted() -> None:
    assert decide(replace(SEEN, status=None, alive=False), Memory()) == Restart()


@pytest.mark.parametrize("desired", ["stopped", "fenced"])
@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("status", [None, SEALED, UNSEALED])
def test_what_is_stopped_or_fenced_on_purpose_is_neither_restarted_nor_unsealed(
    desired: str, alive: bool, status: SealStatus | None
) -> None:
    seen = replace(SEEN, desired=desired, alive=alive, status=status)
    assert wait_of(seen).state == "on-purpose"


def test_with_a_broken_record_nothing_is_done() -> None:
    seen = replace(SEEN, desired="unreadable", alive=None, problem="broken", status=None)
    assert wait_of(seen) == Wait(wait_of(seen).seconds, "refused", "broken")


def test_without_a_supervisor_nothing_is_restarted() -> None:
    seen = replace(SEEN, desired="unknown", alive=None, status=None, problem="refused")
    assert wait_of(seen).state == "unreachable"


def test_a_hanging_server_that_is_alive_is_not_restarted() -> None:
    assert wait_of(replace(SEEN, status=None, problem="did not answer")).state == "unreachable"


def test_an_answer_while_the_recorded_server_is_dead_gets_no_share() -> None:
    assert "something else" in wait_of(replace(SEEN, alive=False)).reason


def test_a_vault_without_keys_gets_no_share() -> None:
    seen = replace(SEEN, status=replace(SEALED, initialized=False))
    assert wait_of(seen).state == "uninitialized"


def test_no_key_file_no_round() -> None:
    seen = replace(SEEN, key=None, problem_with_key="there is no key file")
    assert wait_of(seen) == Wait(wait_of(seen).seconds, "refused", "there is no key file")


def test_a_refused_key_is_never_tried_again_until_it_changes() -> None:
    memory = after_refusal(Memory(), KEY, "wrong key")
    for now in (100.0, 1e6, 1e9):
        assert wait_of(replace(SEEN, now=now), memory).reason == "wrong key"
    other = replace(SEEN, key=KeyIdentity("another"))
    assert isinstance(decide(other, memory), SubmitRound)


def test_a_refused_key_is_still_refused_after_somebody_else_unsealed_and_it_was_sealed_again() -> (
    None
):
    memory = after_refusal(Memory(), KEY, "wrong key")
    memory = after_look(memory, replace(SEEN, status=UNSEALED))
    assert wait_of(replace(SEEN, now=1e6), memory).state == "refused"


def test_every_effort_waits_longer_than_the_one_before_up_to_a_limit() -> None:
    memory, now, pauses = Memory(), 100.0, []
    for _ in range(20):
        assert isinstance(decide(replace(SEEN, now=now), memory), SubmitRound)
        memory = after_round(memory, now, 1.0)
        assert wait_of(replace(SEEN, now=memory.submit.not_before - 0.001), memory).state == (
            "sealed"
        )
        pauses.append(memory.submit.not_before - now)
        now = memory.submit.not_before
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_BACKOFF_SECONDS)
    assert pauses[-1] == pytest.approx(LONGEST_BACKOFF_SECONDS)


def test_jitter_spreads_over_the_upper_half_of_the_pause() -> None:
    least = after_round(Memory(), 0.0, 0.0).submit.not_before
    most = after_round(Memory(), 0.0, 1.0).submit.not_before
    assert (least, most) == (FIRST_BACKOFF_SECONDS / 2, FIRST_BACKOFF_SECONDS)


def test_a_restart_does_not_delay_the_unseal_that_follows() -> None:
    memory = after_restart(Memory(), 100.0, 1.0, counts=True)
    assert isinstance(decide(SEEN, memory), SubmitRound)
    dead = replace(SEEN, status=None, alive=False)
    assert wait_of(dead, memory).reason == "waits before the next restart"


def test_a_server_that_keeps_dying_right_after_unsealing_is_restarted_ever_more_slowly() -> None:
    memory, now = Memory(), 100.0
    for _ in range(4):
        memory = after_restart(memory, now, 1.0, counts=True)
        memory = after_look(memory, replace(SEEN, now=now + 0.1, status=UNSEALED))
        now = memory.restart.not_before
    assert memory.restart.efforts == 4
    up = replace(SEEN, now=now, status=UNSEALED)
    memory = after_look(memory, up)
    memory = after_look(memory, replace(up, now=now + STABLE_SECONDS))
    assert memory.restart.efforts == 0


def test_time_to_unseal_counts_from_the_first_look_that_found_it_down() -> None:
    memory = after_look(Memory(), replace(SEEN, now=10.0, status=None))
    memory = after_look(memory, replace(SEEN, now=10.5))
    memory = after_look(memory, replace(SEEN, now=11.25, status=UNSEALED))
    assert (memory.unseals, memory.last_unseal_seconds) == (1, 1.25)
    assert after_look(memory, replace(SEEN, now=12.0, status=UNSEALED)).unseals == 1


def test_time_stopped_on_purpose_does_not_count() -> None:
    memory = after_look(Memory(), replace(SEEN, now=10.0, status=None))
    memory = after_look(memory, replace(SEEN, now=20.0, desired="fenced", status=None))
    memory = after_look(memory, replace(SEEN, now=30.0))
    memory = after_look(memory, replace(SEEN, now=30.5, status=UNSEALED))
    assert memory.last_unseal_seconds == 0.5
