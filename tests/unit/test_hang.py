"""What is a hang, and what is only slow."""

import pytest

from trainables.hang import (
    COMPILED_FIRST_LIMIT_S,
    FACTOR,
    FIRST_LIMIT_S,
    FLOOR_S,
    GangPulse,
)


def beat_on(pulse, ranks, until_s, *, start_s=0, num_steps=0, step_s=1, ordered_s=0.0):
    """Let ranks speak each second and do a step each `step_s` seconds; return their steps."""
    for now_s in range(start_s + 1, until_s + 1):
        num_steps += now_s % step_s == 0
        for rank in ranks:
            pulse.enter(rank, num_steps, ordered_s, float(now_s))
    return num_steps


@pytest.mark.parametrize(
    ("is_compiled", "limit_s"), [(False, FIRST_LIMIT_S), (True, COMPILED_FIRST_LIMIT_S)]
)
def test_the_first_epoch_may_take_its_time(is_compiled, limit_s):
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=is_compiled)
    beat_on(pulse, [0, 1], int(limit_s) + 2, step_s=10_000)
    assert pulse.find([0, 1], 0.0, limit_s) is None
    assert pulse.find([0, 1], 0.0, limit_s + 2.0).silent_ranks == ()


@pytest.mark.parametrize("step_s", [1, 2, 7, 30])
def test_the_limit_is_a_multiple_of_the_trials_own_longest_pause(step_s):
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=False)
    num_steps = beat_on(pulse, [0, 1], 120, step_s=step_s)
    pulse.end_epoch()
    limit_s = max(FLOOR_S, FACTOR * step_s)
    assert pulse.limit_s() == limit_s
    last_s = 120 // step_s * step_s
    end_s = last_s + int(limit_s) + 1
    beat_on(pulse, [0, 1], end_s, start_s=120, num_steps=num_steps, step_s=10_000)
    assert pulse.find([0, 1], 0.0, end_s - 1.0) is None
    hang = pulse.find([0, 1], 0.0, float(end_s))
    assert hang.silent_ranks == ()
    assert "no step" in hang.reason


def test_another_trial_has_a_limit_of_its_own():
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=False)
    beat_on(pulse, [0], 90, step_s=30)
    pulse.end_epoch()
    assert pulse.limit_s() > FLOOR_S
    pulse.begin_trial(is_compiled=False)
    assert pulse.limit_s() == FIRST_LIMIT_S
    pulse.end_epoch()
    assert pulse.limit_s() == FLOOR_S


def test_a_worker_that_says_nothing_is_named_before_its_first_epoch_is_over():
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=True)
    beat_on(pulse, [0, 1], 10)
    beat_on(pulse, [0], 71, start_s=10, num_steps=10, step_s=10_000)
    assert pulse.find([0, 1], 0.0, 70.0) is None
    assert pulse.find([0, 1], 0.0, 71.0).silent_ranks == (1,)
    assert pulse.find([0], 0.0, 71.0) is None  # rank 1 has answered and owes nothing


def test_one_rank_that_goes_on_is_enough():
    """The others wait for it: while it writes a checkpoint, say."""
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=False)
    pulse.end_epoch()
    for now_s in range(1, 5_000):
        pulse.enter(0, now_s, 0.0, float(now_s))
        pulse.enter(1, 7, 0.0, float(now_s))
    assert pulse.find([0, 1], 0.0, 5_000.0) is None


def test_time_between_orders_is_no_pause():
    pulse = GangPulse()
    pulse.begin_trial(is_compiled=False)
    pulse.enter(0, 1, 0.0, 1.0)
    pulse.end_epoch()
    pulse.enter(0, 2, 1_000.0, 1_001.0)  # the next order was given at 1,000 s
    assert pulse.limit_s() == FLOOR_S


def test_nothing_is_found_where_nobody_owes_an_answer():
    assert GangPulse().find([], 0.0, 1e9) is None
