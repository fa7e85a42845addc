"""What of Ray's own schedulers is mended; `test_scheduler_contract.py` has the rest."""

import math

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler, TrialScheduler

from analysis.records import Objective
from sweeps.schedulers.protocol import Decision, Drop, Report
from sweeps.schedulers.ray_stopping import RayStopping, StoppingOptions

SCORE = Objective("score", "max")


def make(name, num_trials, **options):
    scheduler = RayStopping(name, SCORE, StoppingOptions(**{"max_epochs": 27, **options}))
    for number in range(num_trials):
        scheduler.on_add(f"t{number}", {}, {})
    return scheduler


def hear(scheduler, number, epoch, score, **more):
    return scheduler.on_report(Report(f"t{number}", epoch, {"score": score}, **more))


class Member:
    def __init__(self, trial_id):
        self.trial_id = trial_id


def test_asha_stops_nan_where_rays_lets_it_go_on():
    ours, rays = make("asha", 4), AsyncHyperBandScheduler("epoch", "score", "max", max_t=27)
    for number, score in enumerate([0.5, 0.6, 0.7]):
        hear(ours, number, 1, score)
        trial = Member(f"t{number}")
        rays.on_trial_add(None, trial)
        rays.on_trial_result(None, trial, {"epoch": 1, "score": score})
    assert hear(ours, 3, 1, math.nan) is Decision.STOP
    trial = Member("t3")
    rays.on_trial_add(None, trial)
    result = {"epoch": 1, "score": math.nan}
    assert rays.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE


def test_asha_enters_a_report_that_jumped_in_the_highest_rung_alone():
    scheduler = make("asha", 2)
    hear(scheduler, 0, 10, 0.5)
    for epoch in range(11, 20):
        hear(scheduler, 0, epoch, 0.9)
    rungs = {
        milestone: set(recorded) for milestone, recorded in scheduler._inner._brackets[0]._rungs
    }
    assert rungs == {1: set(), 3: set(), 9: {"t0"}, 27: set()}


def test_a_retried_trial_keeps_its_place():
    scheduler = make("hyperband", 6)
    before = scheduler.state_dict()
    scheduler.on_add("t0", {}, {})
    assert scheduler.state_dict() == before


def fill_bracket(num_trials):
    """Return HyperBand with its second bracket, of trials that are compared, at the first rung."""
    scheduler = make("hyperband", num_trials, max_epochs=9)
    bracket = scheduler._inner._hyperbands[0][1]
    ids = [trial.trial_id for trial in bracket.current_trials()]
    decisions = [
        scheduler.on_report(Report(trial_id, bracket._cumul_r, {"score": place / 10}))
        for place, trial_id in enumerate(ids)
    ]
    return scheduler, ids, decisions


def test_hyperband_pauses_until_all_are_there_and_then_drops_the_worst():
    scheduler, ids, decisions = fill_bracket(8)
    assert decisions == [Decision.PAUSE] * (len(ids) - 1) + [Decision.CONTINUE]
    paused = ids[:-1]
    dropped = []
    while isinstance(chosen := scheduler.choose_next(paused, 0), Drop):
        paused.remove(chosen.trial_id)
        scheduler.on_complete(chosen.trial_id)
        dropped.append(chosen.trial_id)
    assert dropped == ids[: len(dropped)]
    assert dropped
    assert chosen is None or chosen.trial_id in paused


def test_hyperband_fills_its_brackets_where_trials_come_one_by_one():
    scheduler = make("hyperband", 2, max_epochs=3)
    for number in range(2, 7):
        hear(scheduler, number - 2, 3, 0.5)
        scheduler.on_complete(f"t{number - 2}")
        scheduler.on_add(f"t{number}", {}, {})
    first, second = scheduler._inner._hyperbands[0]
    assert [trial.trial_id for trial in first._all_trials] == ["t0", "t1"]
    assert [trial.trial_id for trial in second._all_trials] == ["t2", "t3", "t4"]


def test_hyperband_waits_until_a_bracket_is_full_or_nothing_is_to_come():
    scheduler = make("hyperband", 4, max_epochs=3)  # two of the second bracket's three
    assert hear(scheduler, 2, 1, 0.5) is Decision.PAUSE
    assert hear(scheduler, 3, 1, 0.6) is Decision.PAUSE
    assert scheduler.choose_next(["t2", "t3"], num_pending=1) is None
    assert scheduler.choose_next(["t2", "t3"], num_pending=0) == Drop("t2")
    scheduler.on_complete("t2")
    assert scheduler.choose_next(["t3"], num_pending=0).trial_id == "t3"


def test_hyperband_is_rays_where_all_trials_are_there_at_the_start():
    scheduler = make("hyperband", 20, max_epochs=9)
    rays = HyperBandScheduler("epoch", "score", "max", max_t=9)
    for number in range(20):
        rays.on_trial_add(None, Member(f"t{number}"))
    members = [
        [[trial.trial_id for trial in bracket.current_trials()] for bracket in one._hyperbands[0]]
        for one in (scheduler._inner, rays)
    ]
    assert members[0] == members[1]


def test_hyperband_goes_on_when_the_last_that_is_waited_for_fails_after_a_halving():
    scheduler = make("hyperband", 17, max_epochs=9)
    bracket = scheduler._inner._hyperbands[0][2]
    for place, trial in enumerate(list(bracket.current_trials())):
        scheduler.on_report(Report(trial.trial_id, 1, {"score": place / 10}))
    going_on = [trial.trial_id for trial in bracket.current_trials()]
    assert len(going_on) > 1
    *waiting, last = going_on
    for trial_id in waiting:
        assert scheduler.on_report(Report(trial_id, 3, {"score": 0.5})) is Decision.PAUSE
    assert not any(scheduler.choose_next([t], 0) for t in waiting)
    scheduler.on_error(last)
    assert any(scheduler.choose_next([t], 0) for t in waiting)


def test_the_median_rule_stops_what_is_worse_than_the_median_of_means():
    scheduler = make("median", 5)
    for epoch in (1, 2):
        for number, score in enumerate([0.5, 0.6, 0.7]):
            assert hear(scheduler, number, epoch, score) is Decision.CONTINUE
    assert hear(scheduler, 3, 2, 0.55) is Decision.STOP
    assert hear(scheduler, 4, 2, 0.65) is Decision.CONTINUE


def test_the_median_rule_forgives_a_trial_its_first_nan():
    scheduler = make("median", 4, grace_epochs=2)
    for number, score in enumerate([0.5, 0.6, 0.7]):
        hear(scheduler, number, 1, score)
        hear(scheduler, number, 2, score)
    hear(scheduler, 3, 1, math.nan)
    assert hear(scheduler, 3, 2, 0.9) is Decision.CONTINUE


def test_the_median_rule_makes_room_once_while_there_is_too_little_to_compare_with():
    scheduler = make("median", 3)
    assert scheduler.makes_room
    assert hear(scheduler, 0, 1, 0.5, is_contended=True) is Decision.PAUSE
    assert scheduler.choose_next(["t0"], num_pending=2) is None
    assert scheduler.choose_next(["t0"], num_pending=0).trial_id == "t0"
    assert hear(scheduler, 0, 2, 0.5, is_contended=True) is Decision.CONTINUE
    assert hear(scheduler, 1, 1, 0.5, is_contended=False) is Decision.CONTINUE


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_a_trial_that_failed_twice_is_no_fault(name):
    scheduler = make(name, 3)
    scheduler.on_error("t1")
    scheduler.on_error("t1")
    assert hear(scheduler, 0, 1, 0.5) in (Decision.CONTINUE, Decision.PAUSE)
