import numpy as np
import pytest
from fake_run import fake_trial, write_run

from analysis.choice import knee_index
from analysis.load import RunError, load_run
from analysis.ranking import rank_trials
from analysis.records import RANKED_STATUSES, TRIAL_STATUSES, Objective

ACCURACY = Objective("val_accuracy", "max")
LATENCY = Objective("latency_p50_ms", "min")


def point(trial_id, accuracy, latency_ms, **columns):
    return fake_trial(trial_id, val_accuracy=accuracy, latency_p50_ms=latency_ms, **columns)


@pytest.fixture
def make_run(tmp_path):
    def make(*trials, **sweep):
        return load_run(write_run(tmp_path / "run", trials, sweep=sweep))

    return make


@pytest.fixture
def run(make_run):
    return make_run(
        point("slow", 0.90, 4.0),
        point("worse", 0.60, 3.0),
        point("fast", 0.70, 1.0),
        point("middle", 0.85, 2.0),
        point("worst", 0.50, 4.0),
    )


def test_rows_are_sorted_by_rank_then_first_objective(run):
    rows = rank_trials(run).rows
    assert [row.trial_id for row in rows] == ["slow", "middle", "fast", "worse", "worst"]
    assert [row.rank for row in rows] == [0, 0, 0, 1, 2]
    assert [row.is_front for row in rows] == [True, True, True, False, False]
    assert rows[0].values == (0.90, 4.0)
    assert rows[0].config == {"learning_rate": 0.1, "width": 16}
    assert rows[0].checkpoint == "checkpoints/slow/epoch_3"
    assert rows[0].reproduce.endswith("--trial slow")
    assert rows[0].epoch == 3


def test_order_of_objectives_decides_the_order_of_the_front(run):
    rows = rank_trials(run, [LATENCY, ACCURACY]).rows
    assert [row.trial_id for row in rows[:3]] == ["fast", "middle", "slow"]
    assert rows[0].values == (1.0, 0.70)


def test_hypervolume_and_its_reference_are_in_the_users_units(run):
    ranking = rank_trials(run)
    # Ranges 0.5..0.9 and 1..4: a tenth of them beyond the worst.
    assert ranking.reference == pytest.approx((0.46, 4.3))
    expected = 0.3 * (0.90 - 0.46) + 2.0 * (0.85 - 0.46) + 1.0 * (0.70 - 0.46)
    assert ranking.hypervolume == pytest.approx(expected)
    assert not ranking.is_reference_given


def test_a_given_reference_is_used(run):
    ranking = rank_trials(run, reference=(0.0, 5.0))
    assert ranking.reference == (0.0, 5.0)
    assert ranking.is_reference_given
    assert ranking.hypervolume == pytest.approx(0.90 * 1 + 0.85 * 2 + 0.70 * 1)


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        ((0.8, 5.0), r"val_accuracy:max must be at most 0\.7, the front's worst value, got 0\.8"),
        ((0.1, 3.0), r"latency_p50_ms:min must be at least 4, the front's worst value, got 3"),
        ((0.1,), "must be 2 finite numbers, one an objective"),
        ((0.1, float("nan")), "must be 2 finite numbers"),
    ],
)
def test_a_reference_that_cannot_be_used(run, reference, match):
    with pytest.raises(ValueError, match=match):
        rank_trials(run, reference=reference)


def test_knee_is_the_member_closest_to_the_ideal_point(run):
    ranking = rank_trials(run)
    assert ranking.knee.trial_id == "middle"
    assert [row.is_knee for row in ranking.rows] == [False, True, False, False, False]


def test_knee_does_not_depend_on_units():
    front = np.array([[0.0, 3.0], [0.2, 1.0], [3.0, 0.0]])
    assert knee_index(front) == 1
    assert knee_index(front * [1e6, 1e-6] + [5, -5]) == 1


def test_knee_of_equal_members_is_the_first_and_only_one(make_run):
    rows = rank_trials(make_run(*[point(name, 0.5, 1.0) for name in "abc"])).rows
    assert [row.is_knee for row in rows] == [True, False, False]
    assert all(row.is_front for row in rows)


def test_statuses_decide_who_is_ranked(make_run):
    trials = [point(status, 0.5, 1.0, status=status) for status in TRIAL_STATUSES]
    ranking = rank_trials(make_run(*trials))
    assert {row.trial_id for row in ranking.rows} == set(RANKED_STATUSES)
    assert {row.trial_id for row in ranking.unranked} == {"pending", "failed", "refused"}
    assert ranking.status_counts == dict.fromkeys(TRIAL_STATUSES, 1)


def test_unranked_trials_say_why(make_run):
    ranking = rank_trials(
        make_run(
            point("good", 0.5, 1.0),
            point("failed", 0.5, 1.0, status="failed", reason="loss is NaN"),
            point("refused", None, 9.0, status="refused", reason="slower than the SLO"),
            point("unmeasured", 0.5, None),
            point("diverged", float("nan"), float("inf")),
            point("young", None, None, status="running", epoch=0),
        )
    )
    assert [row.trial_id for row in ranking.rows] == ["good"]
    assert {trial.trial_id: trial.why for trial in ranking.unranked} == {
        "failed": "failed: loss is NaN",
        "refused": "refused: slower than the SLO",
        "unmeasured": "latency_p50_ms is missing",
        "diverged": "val_accuracy is nan, latency_p50_ms is inf",
        "young": "val_accuracy is missing, latency_p50_ms is missing",
    }


def test_nothing_to_rank(make_run):
    ranking = rank_trials(make_run(point("a", 0.5, 1.0, status="failed")))
    assert ranking.rows == ranking.front == ()
    assert ranking.knee is ranking.hypervolume is ranking.reference is None
    assert len(ranking.unranked) == 1
    assert rank_trials(make_run()).rows == ()


def test_one_objective(run):
    ranking = rank_trials(run, [ACCURACY])
    assert [row.rank for row in ranking.rows] == [0, 1, 2, 3, 4]
    assert ranking.knee.trial_id == "slow"
    assert ranking.hypervolume == pytest.approx(0.90 - 0.46)


def test_dataset_is_named_with_its_note(make_run):
    assert rank_trials(make_run()).dataset == "digits (8x8 grey digits of scikit-learn)"
    assert rank_trials(make_run(dataset={"name": "cifar10", "note": ""})).dataset == "cifar10"
    assert rank_trials(make_run(dataset=None)).dataset == "data set not recorded"


@pytest.mark.parametrize("objectives", [None, [], "val_accuracy:max", [1], ["speed:max"]])
def test_run_without_usable_objectives(make_run, objectives):
    with pytest.raises(RunError, match=r"objectives .*must be"):
        rank_trials(make_run(objectives=objectives))


@pytest.mark.parametrize("config", ["", "{", "[1]"])
def test_config_that_is_no_object(make_run, config):
    with pytest.raises(RunError, match=r"config of trial a in .* must be a JSON"):
        rank_trials(make_run(point("a", 0.5, 1.0, config=config)))


def test_input_is_not_changed(run):
    before = run.trials.to_pylist()
    rank_trials(run)
    assert run.trials.to_pylist() == before


def test_limits_decide_who_is_ranked(run):
    ranking = rank_trials(run, where="latency_p50_ms < 4 and val_accuracy > 0.6")
    assert [row.trial_id for row in ranking.rows] == ["middle", "fast"]
    assert {trial.trial_id: trial.why for trial in ranking.unranked}["slow"] == (
        "not latency_p50_ms < 4 and val_accuracy > 0.6"
    )
    assert rank_trials(run, where="latency_p50_ms < 0").rows == ()
    with pytest.raises(ValueError, match="must name numeric columns, got 'speed'"):
        rank_trials(run, where="speed < 1")
