import numpy as np
import pytest
from fake_run import fake_trial, write_run

from analysis.comparison import (
    attainment_surfaces,
    common_reference,
    compare_hypervolumes,
    hypervolume_over_spent,
    runs_table,
)
from analysis.load import load_run
from analysis.records import Objective
from analysis.spent import SPENT_UNITS, spent_by_report

ACCURACY = Objective("val_accuracy", "max")
LATENCY = Objective("latency_p50_ms", "min")
BOTH = [ACCURACY, LATENCY]


def point(trial_id, accuracy, latency_ms, **columns):
    return fake_trial(trial_id, val_accuracy=accuracy, latency_p50_ms=latency_ms, **columns)


def report(trial_id, epoch, accuracy, ended_s, **columns):
    row = {"trial_id": trial_id, "epoch": epoch, "val_accuracy": accuracy}
    row |= {"started_unix_s": 1000 + ended_s - 5.0, "ended_unix_s": 1000 + ended_s}
    return row | columns


@pytest.fixture
def make_run(tmp_path):
    def make(trials, name="run", **files):
        return load_run(write_run(tmp_path / name, trials, **files))

    return make


@pytest.fixture
def run(make_run):
    trials = [point("a", 0.8, 2.0), point("b", 0.6, 1.0), point("c", 0.9, 3.0, status="failed")]
    results = [
        report("a", 1, 0.5, 10.0, gang_seconds=5.0),
        report("c", 1, 0.9, 12.0, gang_seconds=5.0),
        report("b", 1, 0.6, 20.0, gang_seconds=5.0),
        report("a", 2, 0.8, 30.0, gang_seconds=12.0),
    ]
    return make_run(trials, results=results, sweep={"started_unix_s": 1000.0})


def test_the_front_at_a_moment_is_of_what_trials_reported_last(run):
    curve = hypervolume_over_spent(run, BOTH, unit="wall_seconds", reference=(0.0, 4.0))
    assert curve.spent.tolist() == [10.0, 12.0, 20.0, 30.0]
    # a alone; c failed and never counts; a is dominated by b; a is ahead in accuracy
    expected = [0.5 * 2, 0.5 * 2, 0.6 * 3, 0.6 * 3 + 0.2 * 2]
    assert curve.hypervolumes == pytest.approx(expected)
    assert curve.reference == (0.0, 4.0)


def test_without_a_ledger_trials_are_charged(run):
    order, spent = spent_by_report(run, "gang_seconds")
    assert order.tolist() == [0, 1, 2, 3]
    assert spent.tolist() == [5.0, 10.0, 15.0, 22.0]
    assert spent_by_report(run, "reports")[1].tolist() == [1, 2, 3, 4]


def test_with_a_ledger_overhead_counts(make_run):
    def span(kind, started_s, ended_s, trial_id=None, gang=0):
        spans = {"gang": gang, "generation": 1, "kind": kind, "trial_id": trial_id}
        return spans | {"started_s": started_s, "ended_s": ended_s, "cost_usd": ended_s - started_s}

    # The gangs were asked for at 995; a begins at 1005 = 10 on the ledger's clock.
    ledger = [
        span("start_up", 0.0, 10.0),
        span("training", 10.0, 16.0, "a"),
        span("idle", 16.0, 20.0),
        span("training", 20.0, 40.0, "a"),
        span("start_up", 0.0, 30.0, gang=1),
    ]
    results = [report("a", 1, 0.5, 10.0), report("a", 2, 0.8, 30.0)]
    gangs = {"workers_per_gang": 2, "gpus_per_worker": 1}
    run = make_run([point("a", 0.8, 1.0)], results=results, ledger=ledger, sweep={"gangs": gangs})
    # 15 s of both gangs; then 35 s of gang 0 and 30 s of gang 1
    assert spent_by_report(run, "gang_seconds")[1].tolist() == pytest.approx([30.0, 65.0])
    assert spent_by_report(run, "cost_usd")[1].tolist() == pytest.approx([30.0, 65.0])
    assert spent_by_report(run, "gpu_seconds")[1].tolist() == pytest.approx([60.0, 130.0])


def test_reports_of_trials_that_are_not_there_yet_do_not_count(make_run):
    results = [report("a", 1, 0.5, 1.0), report("new", 1, 0.9, 2.0)]
    run = make_run([point("a", 0.5, 1.0)], results=results)
    curve = hypervolume_over_spent(run, unit="reports", reference=(0.0, 2.0))
    assert curve.hypervolumes.tolist() == [0.5, 0.5]


def test_reports_are_taken_in_order_of_time(make_run):
    results = [report("a", 2, 0.8, 30.0), report("a", 1, 0.5, 10.0)]
    run = make_run([point("a", 0.8, 1.0)], results=results)
    assert spent_by_report(run, "reports")[0].tolist() == [1, 0]


def test_what_a_run_does_not_tell_is_said(run, make_run):
    with pytest.raises(ValueError, match="cost_usd must be known of every report"):
        spent_by_report(run, "cost_usd")
    with pytest.raises(ValueError, match=f"unit must be one of {', '.join(SPENT_UNITS)}, got 'h'"):
        spent_by_report(run, "h")
    with pytest.raises(ValueError, match="reports must be one or more, got none"):
        spent_by_report(make_run([point("a", 0.5, 1.0, epoch=0)], name="empty"), "reports")
    with pytest.raises(ValueError, match="known before training, got 'lineage_cost_usd'"):
        hypervolume_over_spent(
            run, [ACCURACY, Objective("lineage_cost_usd", "min")], reference=(0.0, 9.0)
        )


def test_two_runs_are_measured_to_one_reference(run, make_run):
    other = make_run([point("z", 0.2, 9.0)], name="other", results=[report("z", 1, 0.2, 1.0)])
    reference = common_reference([run, other], BOTH)
    assert reference == pytest.approx((0.2 - 0.06, 9.8))
    curves = compare_hypervolumes({"run": run, "other": other}, BOTH, unit="wall_seconds")
    assert {curve.reference for curve in curves.values()} == {reference}
    table = runs_table({"run": run, "other": other}, BOTH).to_pylist()
    assert [(row["run"], row["num_ranked"], row["num_front"]) for row in table] == [
        ("run", 2, 2),
        ("other", 1, 1),
    ]
    assert table[0]["hypervolume"] == pytest.approx(curves["run"].hypervolumes[-1])


def test_long_curves_are_thinned(make_run):
    results = [report("a", i + 1, i / 1000, float(i)) for i in range(1000)]
    run = make_run([point("a", 0.999, 1.0)], results=results)
    curve = hypervolume_over_spent(run, unit="reports", reference=(0.0, 2.0))
    assert len(curve.spent) == 100
    assert (curve.spent[0], curve.spent[-1]) == (1, 1000)
    assert curve.hypervolumes[-1] == pytest.approx(0.999)


@pytest.mark.parametrize("percentile", [0, 50, 100])
def test_surfaces_are_attained_by_their_part_of_the_sweeps(make_run, percentile):
    generator = np.random.default_rng(0)
    runs = []
    for seed in range(4):
        trials = [point(f"t{i}", *generator.random(2)) for i in range(6)]
        runs.append(make_run(trials, name=f"seed_{seed}"))
    surface = attainment_surfaces(runs, BOTH, [percentile])[percentile]
    needed = max(1, percentile * len(runs) / 100)
    for accuracy, latency_ms in surface.tolist():
        num_attained = 0
        for one in runs:
            table = one.trials.to_pydict()
            pairs = zip(table["val_accuracy"], table["latency_p50_ms"], strict=True)
            num_attained += any(a >= accuracy and ms <= latency_ms for a, ms in pairs)
        assert num_attained >= needed


def test_surface_of_one_sweep_is_its_front(run):
    surface = attainment_surfaces([run], BOTH, [100])[100]
    assert sorted(map(tuple, surface.tolist())) == [(0.6, 1.0), (0.8, 2.0)]


def test_surfaces_need_two_or_three_objectives_and_ranked_trials(run, make_run):
    with pytest.raises(ValueError, match="two or three for attainment surfaces, got 1"):
        attainment_surfaces([run], [ACCURACY])
    with pytest.raises(ValueError, match="percentiles must be from 0 to 100"):
        attainment_surfaces([run], BOTH, [101])
    failed = make_run([point("a", 0.5, 1.0, status="failed")], name="failed")
    with pytest.raises(ValueError, match="got 2 runs and one without"):
        attainment_surfaces([run, failed], BOTH)
    with pytest.raises(ValueError, match="losses must be finite numbers"):
        common_reference([failed], BOTH)
    with pytest.raises(ValueError, match="runs must be one or more"):
        compare_hypervolumes({})
    with pytest.raises(ValueError, match="runs must be one or more"):
        runs_table({})
