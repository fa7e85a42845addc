import numpy as np
import pytest
from fake_run import fake_finalist, fake_latency, fake_serving, fake_trial, write_run

from analysis.decision import Bound, bound_values, decide, find_objections, list_bounds
from analysis.load import load_run
from analysis.ranking import rank_trials
from analysis.records import Objective
from analysis.serving import gather_serving

ACCURACY = Objective("val_accuracy", "max")
LATENCY = Objective("latency_p50_ms", "min")


def point(trial_id, accuracy, latency_ms, **columns):
    return fake_trial(trial_id, val_accuracy=accuracy, latency_p50_ms=latency_ms, **columns)


@pytest.fixture
def make_run(tmp_path):
    return lambda trials, **files: load_run(write_run(tmp_path / "run", trials, **files))


@pytest.fixture
def run(make_run):
    return make_run(
        [
            point("slow", 0.90, 4.0, latency_p99_ms=9.0),
            point("middle", 0.85, 2.0, latency_p99_ms=8.0),
            point("fast", 0.70, 1.0, latency_p99_ms=None),
            point("worse", 0.60, 3.0, latency_p99_ms=1.0),
        ]
    )


def choose(run, bounds=(), objections=None):
    ranking = rank_trials(run)
    return decide(ranking, bounds, bound_values(run, ranking, bounds), objections or {})


def ids(rows):
    return [row.trial_id for row in rows]


def test_without_limits_the_knee_is_recommended(run):
    decision = choose(run)
    assert decision.pick.trial_id == "middle" == rank_trials(run).knee.trial_id
    assert ids(decision.runners_up) == ["slow", "fast"]
    assert decision.num_left == 4


def test_limits_move_the_recommendation(run):
    assert ids([choose(run, [Bound(LATENCY, 1.5)]).pick]) == ["fast"]
    assert ids([choose(run, [Bound(ACCURACY, 0.88)]).pick]) == ["slow"]
    both = choose(run, [Bound(ACCURACY, 0.85), Bound(LATENCY, 2.0)])
    assert (both.pick.trial_id, both.num_left) == ("middle", 1)
    assert choose(run, [Bound(LATENCY, 0.5)]).pick is None


def test_a_limit_on_another_column_makes_another_front(run):
    decision = choose(run, [Bound(Objective("latency_p99_ms", "min"), 8.5)])
    # fast has no p99, slow's is over it: worse is still dominated by middle.
    assert (decision.pick.trial_id, decision.runners_up, decision.num_left) == ("middle", (), 2)
    assert ids([choose(run, [Bound(Objective("latency_p99_ms", "min"), 2.0)]).pick]) == ["worse"]


def test_what_speaks_against_a_finalist_takes_it_out(run):
    decision = choose(run, objections={"middle": "misses the SLO"})
    assert decision.pick.trial_id in ("slow", "fast")
    assert "middle" not in ids(decision.runners_up)


def test_nothing_ranked_recommends_nothing(make_run):
    assert choose(make_run([point("a", 0.5, 1.0, status="failed")])).pick is None


@pytest.mark.parametrize(
    ("percentile", "column"), [(None, "latency_ms"), (99, "latency_p99_ms"), (95, "latency_p95_ms")]
)
def test_the_slo_is_a_limit_from_the_start(make_run, percentile, column):
    serving = fake_serving(slo_ms=5, percentile=percentile)
    run = make_run([point("a", 0.5, 1.0)], sweep={"serving": serving})
    bounds = list_bounds(run, rank_trials(run))
    assert bounds == (
        Bound(ACCURACY, None), Bound(LATENCY, None), Bound(Objective(column, "min"), 5.0, True),
    )  # fmt: skip


def test_the_slo_on_an_objective_is_its_limit(make_run):
    serving = fake_serving(slo_ms=5)
    run = make_run(
        [point("a", 0.5, 1.0)],
        sweep={"serving": serving, "objectives": ["val_accuracy:max", "latency_ms:min"]},
    )
    bounds = list_bounds(run, rank_trials(run))
    assert [str(bound.scale) for bound in bounds] == ["val_accuracy:max", "latency_ms:min"]
    assert [bound.value for bound in bounds] == [None, 5.0]


def test_objections_are_of_what_would_be_shipped(make_run):
    latency = [
        fake_latency(9.0, trial_id="a"),
        fake_latency(1.0, trial_id="b", accuracy=0.5, fp32_accuracy=0.9, agreement_fraction=0.6),
        fake_latency(None, trial_id="c", status="failed", reason="no"),
        fake_latency(1.0, trial_id="d"),
        fake_latency(9.0, trial_id="d", compression="pruned 0.5"),
    ]
    run = make_run(
        [fake_finalist(name) for name in "abcd"],
        latency=latency,
        sweep={"serving": fake_serving(slo_ms=5)},
    )
    assert find_objections(gather_serving(run)) == {
        "a": "misses the SLO", "b": "not in int8", "c": "failed",
    }  # fmt: skip


def test_values_of_limits_follow_the_ranking(run):
    ranking = rank_trials(run)
    values = bound_values(run, ranking, [Bound(Objective("latency_p99_ms", "min"), None)])
    np.testing.assert_array_equal(values[:, 0], [9.0, 8.0, np.nan, 1.0])
