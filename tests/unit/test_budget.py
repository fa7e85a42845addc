import dataclasses
import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.budget import (
    END_RESERVE_S,
    EXAMINATION_MARGIN,
    OWN_MARGIN,
    SEARCH_END_S,
    SIBLING_MARGIN,
    STRANGER_MARGIN,
    Budget,
    Examination,
    Limits,
    epoch_key,
)
from tests.simulated_sweep import simulate
from trainables.ledger import Holding
from trainables.trial_config import TrialConfig

NONE = Examination(0, 2, 2, 100, 300, 100, 0, 0)
SMALL, LARGE = (TrialConfig(width=width).to_dict() for width in (8, 32))


def budget(gang_seconds=100.0, **options):
    return Budget(Limits(gang_seconds), options.pop("examination", NONE), **options)


def held(seconds, num_held=2, now_s=0.0):
    return Holding(now_s, seconds, num_held)


@pytest.mark.parametrize(
    ("limits", "left_s"),
    [
        (Limits(100.0), (100 - 40) / 2),
        (Limits(None, 1010.0), 10.0),
        (Limits(100.0, 1010.0), 10.0),
        (Limits(100.0, 1050.0), 30.0),
        (Limits(30.0), -5.0),
    ],
)
def test_what_is_left_is_time_in_which_all_gangs_are_held(limits, left_s):
    holding = Holding(now_s=1000.0, held_seconds=40.0, num_held=2)
    assert Budget(limits, NONE).left_s(holding) == left_s
    assert Budget(limits, NONE).until_end_s(holding) == left_s - END_RESERVE_S


def test_a_first_epoch_of_which_nothing_is_known_is_paid_while_anything_is_left():
    assert budget().refusal("a", SMALL, 1, held(90)) is None
    assert budget().refusal("a", SMALL, 1, held(99)) is not None  # only half a second each


def test_an_epoch_is_paid_if_the_longest_that_it_should_take_fits():
    known = budget()
    known.observe("a", SMALL, 8.0, {})
    fits = 100 - 2 * (OWN_MARGIN * 8 + END_RESERVE_S)
    assert known.refusal("a", SMALL, 1, held(fits)) is None
    why = known.refusal("a", SMALL, 1, held(fits + 0.1))
    assert why.startswith("the budget could not pay its next epoch (up to 10 s): ")
    assert known.refusal("a", SMALL, 2, held(fits)) is not None
    assert "its next 2 epochs" in known.refusal("a", SMALL, 2, held(fits))


def test_the_nearest_that_was_measured_counts():
    known = budget(timed_seconds={epoch_key(LARGE): 7.0})
    assert known.longest_s("a", SMALL) == 0.0
    assert known.longest_s("a", LARGE) == SIBLING_MARGIN * 7
    known.observe("a", SMALL, 2.0, {})
    known.observe("a", SMALL, 3.0, {})
    assert known.longest_s("a", SMALL) == OWN_MARGIN * 3
    assert known.longest_s("b", SMALL) == SIBLING_MARGIN * 3
    assert known.longest_s("b", LARGE) == SIBLING_MARGIN * 7
    other = TrialConfig(width=16).to_dict()
    assert known.longest_s("b", other) == STRANGER_MARGIN * 3
    for _ in range(5):
        known.observe("a", SMALL, 1.0, {})
    assert known.longest_s("a", SMALL) == OWN_MARGIN * 1  # the slow ones are long ago


def test_hyperparameters_that_cost_no_time_tell_no_epochs_apart():
    same = TrialConfig(width=8, learning_rate=0.3, momentum=0.5, seed=9).to_dict()
    assert epoch_key(same) == epoch_key(SMALL)
    for changes in ({"width": 16}, {"batch_size": 64}, {"precision": "bf16"}):
        assert epoch_key({**SMALL, **changes}) != epoch_key(SMALL)


def test_it_is_spent_when_not_even_the_shortest_epoch_fits():
    known = budget()
    known.observe("a", LARGE, 30.0, {})
    known.observe("b", SMALL, 4.0, {})
    assert not known.is_spent(held(100 - 2 * (4 + END_RESERVE_S)))
    assert known.is_spent(held(100 - 2 * (4 + END_RESERVE_S) + 0.1))


def test_the_finalists_examination_is_kept_for():
    examination = Examination(3, 2, 2, num_val=400, num_train=600, num_test=400,
                              robustness_samples=100, attribution_samples=4)  # fmt: skip
    known = budget(examination=examination)
    assert known.examination_s() == 0.0
    known.observe("a", SMALL, 1.0, {"val_seconds": 0.5})
    expected = examination.seconds(0.5)
    assert known.examination_s() == EXAMINATION_MARGIN * expected + SEARCH_END_S
    assert examination.seconds(1.0) > expected
    assert examination.seconds(0.5, 2) < expected  # two at a time, so three take twice as long
    assert dataclasses.replace(examination, robustness_samples=0).seconds(0.5) < expected
    left_s = 100 - 2 * (OWN_MARGIN + END_RESERVE_S + known.examination_s())
    assert known.refusal("a", SMALL, 1, held(left_s)) is None
    assert known.refusal("a", SMALL, 1, held(left_s + 0.1)) is not None


def test_a_further_training_is_paid_whole_and_keeps_for_its_own_scores_alone():
    examination = Examination(3, 1, 2, 400, 600, 400, 100, 4)
    known = budget(100.0, examination=examination)
    known.observe("a", SMALL, 1.0, {"val_seconds": 0.1})
    assert known.test_s() < known.examination_s()
    left_s = 3 * OWN_MARGIN + known.test_s() + END_RESERVE_S
    paid, unpaid = held(100 - left_s, num_held=1), held(100 - left_s + 0.1, num_held=1)
    assert known.refusal("a", SMALL, 3, paid, is_retraining=True) is None
    assert "its next 3 epochs" in known.refusal("a", SMALL, 3, unpaid, is_retraining=True)
    assert known.refusal("a", SMALL, 3, paid) is not None


def test_as_many_finalists_are_examined_as_fit():
    examination = Examination(3, 1, 2, 400, 600, 400, 100, 4)
    each_s = EXAMINATION_MARGIN * examination.seconds(0.5, 1)
    nums = [examination.num_fitting(0.5, n * each_s + 0.01) for n in (0, 1, 2, 3, 9)]
    assert nums == [0, 1, 2, 3, 3]


def test_it_travels_to_the_desk():
    known = budget(timed_seconds={epoch_key(LARGE): 7.0})
    known.observe("a", SMALL, 2.0, {})
    copy = pickle.loads(pickle.dumps(known))
    copy.observe("a", SMALL, 3.0, {})
    assert copy.longest_s("a", SMALL) == OWN_MARGIN * 3


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_no_sweep_is_held_beyond_its_budget(seed):
    outcome = simulate(seed)
    assert outcome.excess_s <= 0
    for gang in {span.gang for span in outcome.ledger.spans}:
        chain = [span for span in outcome.ledger.spans if span.gang == gang]
        for before, after in itertools.pairwise(chain):
            assert before.ended_s == after.started_s


def test_a_large_budget_lets_all_trials_train():
    outcomes = [simulate(seed) for seed in range(40)]
    assert any(outcome.left_s > 100 and outcome.num_epochs > 100 for outcome in outcomes)
    assert any(outcome.num_given_up for outcome in outcomes)
    assert any(outcome.num_examined for outcome in outcomes)
