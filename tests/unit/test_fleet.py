import math
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from ray.tune.schedulers import FIFOScheduler
from sample_table import NUM_CONFIGS, NUM_EPOCHS, write_table

from analysis.records import Objective
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.__main__ import main
from sweeps.simulate.fleet import Fleet, FleetModel
from sweeps.simulate.recorded_table import CONFIG_ID, read_table
from sweeps.simulate.replay import Setup, replay
from sweeps.simulate.timeline import Timeline

NUM_GANGS = 3


@pytest.fixture
def table(tmp_path):
    return read_table(write_table(tmp_path / "table"))


def run(table, scheduler=None, *, seed=0, num_gangs=NUM_GANGS, **options):
    model = FleetModel(num_gangs, **options)
    setup = Setup(num_gangs, NUM_CONFIGS)
    searcher = RandomSearcher(NUM_CONFIGS, seed)
    return replay(table, scheduler or FIFOScheduler(), searcher, setup, model, seed)


def hours(table, num_trainings):
    """Return how many hours so many of the table's trainings take."""
    return num_trainings * np.mean([curve.seconds[-1] for curve in table.curves]) / 3600


def promoting(table):
    objectives = (Objective("error", "min"), Objective("latency_ms", "min"))
    scheduler = MoAsha(objectives, table.known, HalvingOptions(NUM_EPOCHS, variant="promotion"))
    return TuneAdapter(scheduler, lambda config: table.known_of(config[CONFIG_ID]))


def test_a_fleet_that_loses_nothing_reports_what_workers_do(table):
    fleet, plain = (
        run(table),
        replay(
            table,
            FIFOScheduler(),
            RandomSearcher(NUM_CONFIGS, 0),
            Setup(NUM_GANGS, NUM_CONFIGS),
        ),
    )
    assert [(r.trial_id, r.epoch) for r in fleet.reports] == [
        (r.trial_id, r.epoch) for r in plain.reports
    ]
    np.testing.assert_allclose([r.at_s for r in fleet.reports], [r.at_s for r in plain.reports])
    account = fleet.fleet.ledger.account()
    assert account.by_kind["training"] == pytest.approx(fleet.useful_seconds)
    assert account.held_seconds == pytest.approx(NUM_GANGS * fleet.seconds)


@pytest.mark.parametrize("make", [lambda table: FIFOScheduler(), promoting])
@pytest.mark.parametrize("checkpoint_epochs", [1, 3])
def test_what_is_lost_is_trained_again_and_counted_once(table, make, checkpoint_epochs):
    found = run(
        table,
        make(table),
        preemption_hours=hours(table, 4),
        failure_hours=hours(table, 4),
        start_up_seconds=0.05,
        restart_seconds=0.01,
        checkpoint_epochs=checkpoint_epochs,
        checkpoint_seconds=0.002,
        start_seconds=0.001,
        restore_seconds=0.003,
    )
    assert found.fleet.num_preemptions > 1
    assert found.fleet.num_failures > 1
    assert "failed" not in found.status.values()
    epochs = defaultdict(list)
    for report in found.reports:
        epochs[report.trial_id].append(report.epoch)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in epochs.values())
    assert len(epochs) == NUM_CONFIGS
    account = found.fleet.ledger.account()
    assert account.by_kind["training"] > found.useful_seconds  # checkpoints and starts
    assert account.by_kind["lost"] > sum(account.lost_by_trial.values()) > 0
    assert account.held_seconds == pytest.approx(NUM_GANGS * found.seconds)
    assert account.held_seconds == pytest.approx(sum(account.by_kind.values()))


def test_one_gang_takes_the_seconds_that_the_model_says(table):
    found = run(
        table, num_gangs=1, checkpoint_epochs=NUM_EPOCHS, checkpoint_seconds=2.0, start_seconds=3.0
    )
    trainings_s = sum(curve.seconds[-1] for curve in table.curves)
    assert found.seconds == pytest.approx(trainings_s + NUM_CONFIGS * (2.0 + 3.0))


def test_a_trial_whose_epoch_is_lost_too_often_fails_alone(table):
    # No epoch is as short as the time that a gang lives.
    found = run(table, failure_hours=1e-12, restart_seconds=1e-12)
    assert set(found.status.values()) == {"failed"}
    assert found.fleet.num_failures >= 3 * NUM_CONFIGS


def test_the_same_seed_gives_the_same_fleet(table):
    options = {"preemption_hours": hours(table, 2), "start_up_seconds": 0.1}
    first, second, other = (run(table, seed=seed, **options) for seed in (0, 0, 1))
    assert (first.reports, first.fleet.ledger.spans) == (second.reports, second.fleet.ledger.spans)
    assert first.reports != other.reports


def test_nodes_live_as_long_as_the_model_says():
    timeline = Timeline(horizon_s=400 * 3600.0)
    model = FleetModel(20, start_up_seconds=100.0, preemption_hours=2.0, failure_hours=math.inf)
    fleet = Fleet(model, timeline, seed=0)
    timeline.after(399 * 3600.0, lambda: None)  # somebody waits for that long
    while timeline.step():
        pass
    expected = 20 * 399 / 2.0
    assert fleet.num_preemptions == pytest.approx(expected, abs=4 * math.sqrt(expected))
    fleet.close()
    account = fleet.ledger.account()
    # Log-normal: the mean is above the median. A node that dies while it starts adds little.
    mean_start_s = 100.0 * math.exp(0.3**2 / 2)
    starting_s = account.by_kind["lost"] + account.by_kind["start_up"]
    assert starting_s / fleet.num_preemptions == pytest.approx(mean_start_s, rel=0.1)


def test_the_command_replays_a_table_on_a_fleet(tmp_path, capsys):
    folder, out = write_table(tmp_path / "table"), tmp_path / "run"
    arguments = [str(folder), "--workers", "3", "--searcher", "random", "--out", str(out)]
    arguments += ["--preemption-hours", "0.002", "--start-up-seconds", "0.5"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "held s trained epochs that were reported" in said
    assert " preemptions, 0 failures" in said
    spans = pq.read_table(out / "ledger.parquet").to_pylist()
    assert {span["kind"] for span in spans} >= {"start_up", "training"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--preemption-hours 0", "--preemption-hours must be > 0, got 0.0; give another value"),
        ("--failure-hours nan", "--failure-hours must be > 0, got nan"),
        ("--start-up-seconds -1", "--start-up-seconds must be >= 0, got -1.0"),
        ("--checkpoint-epochs 0", "--checkpoint-epochs must be >= 1, got 0"),
    ],
)
def test_a_bad_fleet_is_one_line(tmp_path, capsys, flags, message):
    folder, out = write_table(tmp_path / "table"), tmp_path / "run"
    assert main([str(folder), "--out", str(out), *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
