import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.pareto import is_front, nondominated_ranks
from analysis.records import RANKED_STATUSES, TRIAL_STATUSES, Objective
from sweeps.front import front, ranked, ranks
from sweeps.trial_record import TrialRecord

OBJECTIVES = (Objective("val_accuracy", "max"), Objective("latency_p50_ms", "min"))

VALUES = st.integers(0, 4).map(float)  # few, so that some are equal


def make_trial(trial_id, accuracy, latency_ms, **fields):
    figures = {"val_accuracy": accuracy, "latency_p50_ms": latency_ms}
    return TrialRecord(
        trial_id, {}, **({"status": "completed", "epoch": 1} | fields), figures=figures
    )


def ids(trials):
    return [trial.trial_id for trial in trials]


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_the_front_is_that_of_the_analysis(values):
    trials = [make_trial(str(index), *pair) for index, pair in enumerate(values)]
    losses = np.array([[-accuracy, latency] for accuracy, latency in values]).reshape(-1, 2)
    expected = {trial.trial_id for trial, on in zip(trials, is_front(losses), strict=True) if on}
    found = front(trials, OBJECTIVES)
    assert set(ids(found)) == expected
    accuracies = [trial.figures["val_accuracy"] for trial in found]
    assert accuracies == sorted(accuracies, reverse=True)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_the_ranks_are_those_of_the_analysis(values):
    trials = [make_trial(str(index), *pair) for index, pair in enumerate(values)]
    losses = np.array([[-accuracy, latency] for accuracy, latency in values]).reshape(-1, 2)
    found = {t.trial_id: n for n, rank in enumerate(ranks(trials, OBJECTIVES)) for t in rank}
    expected = nondominated_ranks(losses).tolist() if values else []
    assert found == {str(index): rank for index, rank in enumerate(expected)}


def test_the_best_by_the_first_objective_comes_first_then_by_the_second():
    trials = [
        make_trial("slow", 0.9, 3.0),
        make_trial("poor", 0.1, 1.0),
        make_trial("fast", 0.9, 2.0),
    ]
    assert ids(ranked(trials, OBJECTIVES)) == ["fast", "slow", "poor"]
    assert ids(front(trials, OBJECTIVES)) == ["fast", "poor"]


def test_a_column_with_a_field_of_its_own_is_an_objective():
    trials = [
        make_trial("a", 0.5, 1.0, gang_seconds=9.0),
        make_trial("b", 0.5, 1.0, gang_seconds=3.0),
    ]
    assert ids(front(trials, (Objective("gang_seconds", "min"),))) == ["b"]


@pytest.mark.parametrize("status", TRIAL_STATUSES)
def test_only_trials_with_values_of_real_weights_count(status):
    trials = [make_trial("a", 0.5, 1.0, status=status), make_trial("b", 0.9, 1.0, epoch=0)]
    expected = ["a"] if status in RANKED_STATUSES else []
    assert ids(ranked(trials, OBJECTIVES)) == ids(front(trials, OBJECTIVES)) == expected


@pytest.mark.parametrize("missing", [None, math.nan])
@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_trial_without_the_value_of_an_objective_is_last_and_on_no_front(missing, direction):
    objectives = (Objective("roc_auc", direction), Objective("val_accuracy", "max"))
    without, with_one = make_trial("without", 0.9, 1.0), make_trial("with", 0.1, 1.0)
    without.figures["roc_auc"], with_one.figures["roc_auc"] = missing, 0.5
    for trials in ([without, with_one], [with_one, without]):
        assert ids(ranked(trials, objectives)) == ["with", "without"]
        assert ids(front(trials, objectives)) == ["with"]


def test_no_trials_have_no_front():
    assert front([], OBJECTIVES) == ranked([], OBJECTIVES) == []
