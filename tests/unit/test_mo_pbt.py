import math

import numpy as np

from analysis.pareto import nondominated_ranks
from analysis.records import Objective
from sweeps.domains import Uniform
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions, order_of
from sweeps.schedulers.protocol import Decision, Exploit, Report

OBJECTIVES = (Objective("val_accuracy", "max"), Objective("latency_ms", "min"))
MUTABLE = {"learning_rate": Uniform(0.01, 1.0)}


def population(size=8, *, seed=0, **options):
    explore = Explore(MUTABLE, seed, 0.2)
    scheduler = MoPbt(OBJECTIVES, explore, PopulationOptions(2, 10, **options), seed)
    for number in range(size):
        scheduler.on_add(f"t{number}", {"learning_rate": 0.1 + number / 100}, {})
    return scheduler


def report(number, epoch, accuracy=None):
    value = 0.5 + number / 100 if accuracy is None else accuracy
    return Report(f"t{number}", epoch, {"val_accuracy": value, "latency_ms": 1.0})


def test_the_worst_quarter_takes_over_the_best():
    scheduler = population()
    found = [scheduler.on_report(report(number, 2)) for number in reversed(range(8))]
    exploits = [decision for decision in found if isinstance(decision, Exploit)]
    assert exploits
    assert {exploit.donor_id for exploit in exploits} <= {"t7", "t6"}
    assert all(exploit.config != {"learning_rate": 0.17} for exploit in exploits)
    assert found[0] is not Decision.STOP
    assert scheduler.on_report(report(7, 10)) is Decision.STOP


def test_members_are_looked_at_once_an_interval():
    scheduler = population()
    assert scheduler.on_report(report(0, 1)) is Decision.CONTINUE
    scheduler.on_report(report(0, 2))
    before = scheduler.state_dict()["losses"]
    assert scheduler.on_report(report(0, 2, accuracy=0.9)) is Decision.CONTINUE
    assert scheduler.state_dict()["losses"] == before


def test_who_may_be_copied_is_saved():
    scheduler = population()
    found = [scheduler.on_report(report(number, 2)) for number in range(8)]
    assert found[-1] is Decision.SAVE


def test_members_make_room_for_those_that_wait_and_the_least_trained_goes_on():
    scheduler = population()
    crowded = Report("t0", 2, {"val_accuracy": 0.5, "latency_ms": 1.0}, is_contended=True)
    assert scheduler.on_report(crowded) is Decision.PAUSE
    assert scheduler.choose_next(["t0"], num_pending=7) is None
    scheduler.on_report(report(1, 4))
    assert scheduler.choose_next(["t1", "t0"], num_pending=0).trial_id == "t0"


def test_nan_is_replaced():
    scheduler = population()
    for number in range(1, 8):
        scheduler.on_report(report(number, 2))
    assert isinstance(scheduler.on_report(report(0, 2, accuracy=math.nan)), Exploit)


def test_the_order_goes_by_fronts_and_spreads_inside_them():
    draw = np.random.default_rng(0)
    losses = draw.random((30, 2))
    order = order_of(losses)
    ranks = nondominated_ranks(losses)[order]
    assert sorted(order) == list(range(30))
    assert (np.diff(ranks) >= 0).all()
    front = losses[order[: int((ranks == 0).sum())]]
    assert front[0][0] == losses[:, 0].min()


def test_a_quorum_waits_for_the_living_only():
    scheduler = population(quorum_fraction=1.0)
    for number in range(7):
        assert scheduler.on_report(report(number, 2)) is Decision.PAUSE
    waiting = [f"t{number}" for number in range(7)]
    assert scheduler.choose_next(waiting, 0) is None
    scheduler.on_error("t7")
    resumes = [scheduler.choose_next(waiting, 0) for _ in range(7)]
    assert sorted(resume.trial_id for resume in resumes) == waiting
    assert any(resume.exploit is not None for resume in resumes)
    assert scheduler.choose_next(waiting, 0) is None
