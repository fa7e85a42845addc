from collections import Counter

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from sample_table import NUM_CONFIGS, NUM_EPOCHS, write_table

from analysis.load import load_run
from analysis.ranking import rank_trials
from analysis.records import Objective
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.ray_stopping import RAY_STOPPING, RayStopping, StoppingOptions
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.__main__ import main
from sweeps.simulate.recorded_table import CONFIG_ID, read_table
from sweeps.simulate.replay import Setup, replay
from trainables.errors import InputError

OBJECTIVES = (Objective("error", "min"), Objective("latency_ms", "min"))


@pytest.fixture
def table(tmp_path):
    return read_table(write_table(tmp_path / "table"))


def mo_asha(table, **options):
    scheduler = MoAsha(OBJECTIVES, table.known, HalvingOptions(NUM_EPOCHS, **options))
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


def run(table, scheduler, *, num_workers=3, seed=0, **options):
    setup = Setup(num_workers, NUM_CONFIGS, **options)
    return replay(table, scheduler, RandomSearcher(NUM_CONFIGS, seed), setup)


def test_every_trial_reports_its_curve_in_its_own_time(table):
    found = run(table, FIFOScheduler())
    assert len(found.reports) == NUM_CONFIGS * NUM_EPOCHS
    assert set(found.status.values()) == {"completed"}
    assert [report.at_s for report in found.reports] == sorted(r.at_s for r in found.reports)
    for index, curve in enumerate(table.curves):
        reports = [report for report in found.reports if report.index == index]
        assert [report.value for report in reports] == curve.values.tolist()
        begun_s = reports[0].at_s - curve.seconds[0]
        np.testing.assert_allclose([r.at_s - begun_s for r in reports], curve.seconds)
    # Three workers are never idle while trials wait.
    busy_s = sum(curve.seconds[-1] for curve in table.curves)
    longest_s = max(curve.seconds[-1] for curve in table.curves)
    assert busy_s / 3 <= found.seconds <= busy_s / 3 + longest_s


def test_starting_and_restoring_take_their_time(table):
    slow = run(table, FIFOScheduler(), num_workers=1, start_seconds=10.0)
    quick = run(table, FIFOScheduler(), num_workers=1)
    assert slow.seconds == pytest.approx(quick.seconds + 10.0 * NUM_CONFIGS)
    promoted = mo_asha(table, variant="promotion")
    again = mo_asha(table, variant="promotion")
    slow = run(table, promoted, num_workers=1, restore_seconds=10.0)
    quick = run(table, again, num_workers=1)
    num_restores = (slow.seconds - quick.seconds) / 10.0
    assert num_restores == pytest.approx(round(num_restores))
    assert num_restores > 1


def test_nothing_happens_beyond_the_horizon(table):
    found = run(table, FIFOScheduler(), horizon_s=0.3)
    assert all(report.at_s <= 0.3 for report in found.reports)
    assert list(found.status.values()).count("interrupted") == 3


@pytest.mark.parametrize("options", [{}, {"order": "epsnet"}, {"variant": "promotion"}])
def test_a_multi_objective_sweep_ends_each_trial_once(table, options):
    found = run(table, mo_asha(table, **options))
    assert len(found.status) == NUM_CONFIGS
    assert set(found.status.values()) == {"completed", "stopped"}
    epochs = {}
    for report in found.reports:  # no epoch twice, none left out
        assert report.epoch == epochs.get(report.trial_id, 0) + 1
        epochs[report.trial_id] = report.epoch


class WholeTrials(RandomSearcher):
    """Keeps which candidates' trials ended by themselves."""

    def __init__(self, num_candidates, seed):
        super().__init__(num_candidates, seed)
        self.ends = {}

    def on_complete(self, index, is_whole):
        self.ends[index] = is_whole


def test_a_searcher_learns_which_trials_ended_by_themselves(table):
    searcher = WholeTrials(NUM_CONFIGS, 0)
    found = replay(table, mo_asha(table), searcher, Setup(3, NUM_CONFIGS))
    num_reports = {index: 0 for index in found.index.values()}
    for report in found.reports:
        num_reports[report.index] += 1
    assert searcher.ends == {index: num == NUM_EPOCHS for index, num in num_reports.items()}
    assert set(searcher.ends.values()) == {True, False}


def test_the_same_seed_gives_the_same_run(table, monkeypatch):
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "4")  # as a sweep before it left it
    first, second, other = (run(table, mo_asha(table), seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_our_asha_decides_as_rays_in_the_same_controller(table):
    rays = AsyncHyperBandScheduler(
        time_attr="epoch", metric="error", mode="min", max_t=NUM_EPOCHS, reduction_factor=3
    )
    ours = TuneAdapter(MoAsha(OBJECTIVES[:1], (), HalvingOptions(NUM_EPOCHS)))
    assert run(table, ours) == run(table, rays)


@pytest.mark.parametrize("name", ["asha", "median"])
def test_where_nothing_is_amiss_rays_decide_as_they_are(table, name):
    mended = TuneAdapter(RayStopping(name, OBJECTIVES[0], StoppingOptions(NUM_EPOCHS)))
    plain = RAY_STOPPING[name](OBJECTIVES[0], StoppingOptions(NUM_EPOCHS))
    if name == "median":
        plain.on_trial_complete = lambda *_: None  # which counts the last report again
    ends = [sorted(ends_of(run(table, scheduler)).items()) for scheduler in (mended, plain)]
    assert ends[0] == ends[1]


def test_seconds_that_cannot_be_are_evened_and_said(tmp_path):
    seconds = np.tile(np.arange(1.0, NUM_EPOCHS + 1), NUM_CONFIGS)
    seconds[3] = -5.0
    table = read_table(write_table(tmp_path / "table", curves={"seconds": seconds}))
    assert table.note.startswith(f"seconds of 1 of {NUM_CONFIGS} configs do not ascend")
    assert table.curves[0].seconds.tolist() == list(range(1, NUM_EPOCHS + 1))


def ends_of(found):
    """Return how often a trial ended after each number of epochs."""
    epochs = {}
    for report in found.reports:
        epochs[report.trial_id] = report.epoch
    return Counter(epochs.values())


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheduler", "searcher"),
    [
        ("mo_asha", "random"),
        ("mo_asha", "known_latency"),
        ("mo_asha", "motpe"),
        ("hyperband", "tpe"),
        ("median", "nsga2"),
    ],
)
def test_the_command_writes_a_run_that_analysis_reads(tmp_path, capsys, scheduler, searcher):
    folder = write_table(tmp_path / "table")
    arguments = [str(folder), "--workers", "4", "--seeds", "2", "--searcher", searcher]
    arguments += ["--scheduler", scheduler]
    assert main([*arguments, "--out", str(tmp_path / "runs")]) == 0
    assert "seed 1: " in capsys.readouterr().out
    run = load_run(tmp_path / "runs" / "seed_0")
    assert run.spec["simulated"]["searcher"] == searcher
    ranking = rank_trials(run)
    assert [str(objective) for objective in ranking.objectives] == ["error:min", "latency_ms:min"]
    assert len(run.trials) == NUM_CONFIGS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curves": {"seconds": None}}, "must have the columns seconds, got config_id, epoch"),
        ({"configs": {"width": None}}, "must have the columns width, got config_id"),
        ({"meta": {"metric": {"name": "error"}}}, "must have a name and the mode max or min"),
        ({"meta": {"known_before_training": ["flops"]}}, "must have the columns flops"),
        (
            {"curves": {"error": np.full(NUM_CONFIGS * NUM_EPOCHS, np.nan)}},
            "must be numbers, got NaN or infinity in config 0; leave that config out",
        ),
        (
            {"curves": {"epoch": np.ones(NUM_CONFIGS * NUM_EPOCHS, int)}},
            "must ascend in each config, got config 0 out of order; sort it",
        ),
        (
            {"curves": {"config_id": np.zeros(NUM_CONFIGS * NUM_EPOCHS, int),
                        "epoch": np.arange(NUM_CONFIGS * NUM_EPOCHS)}},
            "must have a curve of every config, got none of config 1",
        ),
    ],
)  # fmt: skip
def test_a_bad_table_is_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        read_table(write_table(tmp_path / "table", **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--scheduler pbt", "--scheduler must not be pbt on a table of recorded runs"),
        ("--workers 99", "--workers must be <= the 24 trials, got 99"),
        ("--workers 0", "--workers must be >= 1, got 0"),
        ("--objectives error", "--objectives must be column:max or column:min, got 'error'"),
        ("--objectives final_error:min", "must be the metric or known columns of the table"),
        ("--objectives latency_ms:min", "must begin with the metric error:min"),
        ("--objectives error:min --order peer --searcher random --workers 99", "--workers must"),
        ("--objectives error:min", "--searcher known_latency must have an objective that is known"),
        ("--reduction-factor 1", "--reduction-factor must be > 1, got 1.0"),
    ],
)
def test_bad_flags_are_one_line_and_nothing_is_written(tmp_path, capsys, flags, message):
    folder = write_table(tmp_path / "table")
    out = tmp_path / "run"
    assert main([str(folder), "--out", str(out), *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_folder_without_a_table_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "meta.json must be readable JSON" in capsys.readouterr().err
