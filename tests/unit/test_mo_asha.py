import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from analysis.pareto import nondominated_ranks
from analysis.records import Objective
from sweeps.schedulers.mo_asha import ORDERS, HalvingOptions, MoAsha
from sweeps.schedulers.protocol import Decision, Report

ERROR, LATENCY = Objective("val_loss", "min"), Objective("latency_ms", "min")
BOTH = (ERROR, LATENCY)
KNOWN = ("latency_ms",)
OPTIONS = HalvingOptions(max_epochs=27)


def report(trial_id, epoch, error, latency_ms=1.0):
    return Report(trial_id, epoch, {"val_loss": error, "latency_ms": latency_ms})


def decide(scheduler, rows, epoch=1):
    """Return the decision on each (error, latency) that reaches the rung of an epoch."""
    return [
        scheduler.on_report(report(f"{epoch}-{number}", epoch, *row))
        for number, row in enumerate(rows)
    ]


def random_stream(seed, num_trials=60, max_epochs=27, longest_step=4, nan_probability=0.03):
    """Return reports of trials that run at the same time, with epochs left out and NaN."""
    draw = random.Random(seed)
    epochs = {f"t{number}": 0 for number in range(num_trials)}
    while epochs:
        trial_id = draw.choice(sorted(epochs))
        epochs[trial_id] += draw.randint(1, longest_step)
        value = math.nan if draw.random() < nan_probability else draw.choice([draw.random(), 0.5])
        yield trial_id, epochs[trial_id], value, 1 + int(trial_id[1:]) % 7
        if epochs[trial_id] >= max_epochs:
            del epochs[trial_id]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("direction", ["max", "min"])
def test_with_one_objective_it_decides_as_rays_asha(seed, direction):
    ours = MoAsha((Objective("score", direction),), (), OPTIONS)
    rays = AsyncHyperBandScheduler(
        time_attr="epoch", metric="score", mode=direction, max_t=27, reduction_factor=3
    )
    trials, stopped = {}, set()
    for trial_id, epoch, score, _ in random_stream(seed, longest_step=1, nan_probability=0.0):
        if trial_id in stopped:
            continue
        if trial_id not in trials:
            trials[trial_id] = SimpleNamespace(trial_id=trial_id)
            rays.on_trial_add(None, trials[trial_id])
        expected = rays.on_trial_result(None, trials[trial_id], {"epoch": epoch, "score": score})
        found = ours.on_report(Report(trial_id, epoch, {"score": score}))
        assert (found is Decision.STOP) == (expected == TrialScheduler.STOP)
        if found is Decision.STOP:
            stopped.add(trial_id)
    assert len(stopped) == len(trials)


def test_a_report_that_jumps_belongs_to_the_highest_rung_and_to_no_lower_one():
    scheduler = MoAsha((ERROR,), (), OPTIONS)
    assert scheduler.on_report(report("a", 10, 0.5)) is Decision.CONTINUE
    state = scheduler.state_dict()
    assert [len(rung) for rung in state["rungs"]] == [0, 0, 1]  # of 1, 3, 9 epochs
    assert scheduler.on_report(report("a", 4, 9.0)) is Decision.CONTINUE  # after a lost gang
    assert scheduler.state_dict() == state


def test_a_full_training_ends():
    scheduler = MoAsha(BOTH, KNOWN, OPTIONS)
    assert scheduler.on_report(report("a", 27, 0.1)) is Decision.STOP


@pytest.mark.parametrize("order", ["epsnet", "crowding"])
def test_a_rung_keeps_the_fronts_first(order):
    draw = np.random.default_rng(0)
    rows = draw.random((40, 2))
    scheduler = MoAsha(BOTH, KNOWN, HalvingOptions(27, order=order))
    for number, row in enumerate(rows):
        found = scheduler.on_report(report(str(number), 1, *row))
        ranks = nondominated_ranks(rows[: number + 1])
        num_better = int((ranks < ranks[number]).sum())
        num_no_worse = int((ranks <= ranks[number]).sum())
        num_kept = max(0, math.floor((number + 1 - 2) / 3 + 0.5)) + 1
        if num_no_worse <= num_kept:
            assert found is Decision.CONTINUE
        if num_better >= num_kept:
            assert found is Decision.STOP


def test_equal_latency_and_a_worse_error_is_dominated():
    rows = [(0.1, 1.0)] * 5 + [(0.2, 1.0)]
    scheduler = MoAsha(BOTH, KNOWN, HalvingOptions(27, order="epsnet"))
    assert decide(scheduler, rows)[-1] is Decision.STOP


@pytest.mark.parametrize("order", ORDERS)
def test_nan_is_last(order):
    scheduler = MoAsha(BOTH, KNOWN, HalvingOptions(27, order=order))
    decisions = decide(scheduler, [(0.5, 1.0), (0.4, 2.0), (math.nan, 1.0), (math.inf, 1.0)])
    assert decisions[2:] == [Decision.STOP] * 2
    assert decide(scheduler, [(0.3, 3.0)], epoch=3) == [Decision.CONTINUE]


def test_peers_are_kept_where_plain_fronts_stop_them():
    # Large models learn slowly: at the first rung each is dominated by all that are smaller.
    small = [(0.30 + 0.001 * number, 1.0 + 0.01 * number) for number in range(20)]
    large = [(0.50 + 0.01 * number, 10.0 + 0.01 * number) for number in range(20)]
    by_peers = MoAsha(BOTH, KNOWN, HalvingOptions(27, order="peer"))
    by_fronts = MoAsha(BOTH, KNOWN, HalvingOptions(27, order="epsnet"))
    kept = decide(by_peers, small[1:] + large[::-1])[-20:].count(Decision.CONTINUE)
    assert kept > decide(by_fronts, small[1:] + large[::-1])[-20:].count(Decision.CONTINUE)


def test_whoever_nothing_smaller_beats_goes_on():
    scheduler = MoAsha(BOTH, KNOWN, OPTIONS)
    assert scheduler.order == "peer"
    decide(scheduler, [(0.5, 1.0 + number) for number in range(12)])
    assert scheduler.on_report(report("best", 1, 0.49, 3.0)) is Decision.CONTINUE
    assert scheduler.on_report(report("worst", 1, 0.99, 3.0)) is Decision.STOP


def test_peers_need_an_objective_that_is_known():
    with pytest.raises(ValueError, match="one is known before training, got val_loss, latency_ms"):
        MoAsha(BOTH, (), HalvingOptions(27, order="peer"))


def test_promotion_pauses_at_every_rung_and_promotes_the_best():
    scheduler = MoAsha((ERROR,), (), HalvingOptions(27, variant="promotion"))
    ids = [f"1-{number}" for number in range(4)]
    assert decide(scheduler, [(0.4,), (0.1,), (0.3,), (0.2,)]) == [Decision.PAUSE] * 4
    assert scheduler.choose_next(ids, 0).trial_id == "1-1"
    assert scheduler.on_report(report("1-1", 3, 0.1)) is Decision.PAUSE
    waiting = [trial_id for trial_id in ids if trial_id != "1-1"]
    assert scheduler.choose_next(["1-1", *waiting], 0).trial_id == "1-1"  # alone in the higher rung


@pytest.mark.parametrize(("sign", "fewest", "most"), [(1, 0.3, 0.5), (-1, 0.85, 1.0)])
def test_a_first_rung_that_says_nothing_of_the_second_stops_nobody(sign, fewest, most):
    # What is best after one epoch stays so, or is worst from the third on.
    scheduler, draw = MoAsha(BOTH, KNOWN, OPTIONS), np.random.default_rng(0)
    went_on = []
    for number, (loss, latency_ms) in enumerate(draw.random((300, 2))):
        found = scheduler.on_report(report(str(number), 1, loss, 1 + latency_ms))
        went_on.append(found is Decision.CONTINUE)
        if went_on[-1]:
            scheduler.on_report(report(str(number), 3, sign * loss, 1 + latency_ms))
    assert fewest <= np.mean(went_on[-150:]) <= most


@pytest.mark.parametrize(("first", "found"), [(False, Decision.STOP), (True, Decision.CONTINUE)])
def test_a_rung_above_one_that_says_something_stops_all_the_same(first, found):
    scheduler = MoAsha(BOTH, KNOWN, OPTIONS)
    decide(scheduler, [(0.5, 1.0 + number) for number in range(12)], epoch=3)
    scheduler.load_state_dict({**scheduler.state_dict(), "says_nothing": [first, True, False]})
    assert scheduler.on_report(report("worst", 3, 0.99, 3.0)) is found


def naive_choice(scheduler, paused):
    """Return whom a scheduler promotes, by asking every paused trial at every rung."""
    for level in reversed(range(len(scheduler._rungs))):
        for number, (trial_id, _) in enumerate(scheduler._members[level]):
            is_here = trial_id in paused and scheduler._reached[trial_id] == level
            says_nothing = scheduler._says_nothing(level)
            if is_here and (says_nothing or scheduler._rungs[level].goes_on(number)):
                return trial_id
    return None


@pytest.mark.parametrize(
    ("objectives", "order"),
    [(BOTH, "peer"), (BOTH, "epsnet"), (BOTH, "crowding"), ((ERROR,), None)],
)
@pytest.mark.parametrize("seed", range(2))
def test_it_promotes_whom_looking_at_all_would(objectives, order, seed):
    options = HalvingOptions(27, order=order, variant="promotion")
    scheduler, draw = MoAsha(objectives, KNOWN, options), random.Random(seed)
    paused, epoch_of, num_promoted = {}, {}, 0
    for step in range(200):
        choice = scheduler.choose_next(paused, 0)
        assert (choice and choice.trial_id) == naive_choice(scheduler, paused)
        if choice is not None and draw.random() < 0.8:
            num_promoted += 1
            trial_id = choice.trial_id
            del paused[trial_id]
            epoch_of[trial_id] *= 3
        else:
            trial_id = f"t{step}"
            epoch_of[trial_id] = 1
        value = math.nan if draw.random() < 0.03 else draw.randrange(50)
        row = report(trial_id, epoch_of[trial_id], value, 1.0 + step % 7)
        if scheduler.on_report(row) is Decision.PAUSE:
            paused[trial_id] = None
        if draw.random() < 0.02:
            failed = draw.choice([*paused, trial_id])
            scheduler.on_error(failed)
            paused.pop(failed, None)
        if step == 100:
            state = json.loads(json.dumps(scheduler.state_dict()))
            scheduler = MoAsha(objectives, KNOWN, options)
            scheduler.load_state_dict(state)
    assert num_promoted > 25
